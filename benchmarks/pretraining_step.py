"""How long a pre-training update takes beside transformers' Wav2Vec2ForPreTraining, in one process, taking turns.

    python benchmarks/pretraining_step.py [--out FILE.json]     # or: make pretraining_step

Each side has the same configuration, weights, batch and threads, and does a whole update: mask, distractors, forward,
loss, backward, AdamW. transformers' side draws mask and distractors with transformers' own functions, and has torch's
default AdamW, as its example script for pre-training has; ours has the fused one, as `trainer` has. A ratio above 1
means that ours is the faster one. Peak memory is what the process takes beyond model and batch, each side in a process
of its own; on a GPU, what its allocator has handed out.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
import transformers
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

from w2v2_teach.config import BASE, TINY, Wav2Vec2Config
from w2v2_teach.course.environment import device, versions
from w2v2_teach.losses import sample_negatives
from w2v2_teach.masking import time_mask
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.reference import transformers_config

TURNS = 11
SIDES = ("ours", "transformers")


class Case(NamedTuple):
    """One row of the table."""

    name: str
    config: Wav2Vec2Config
    batch: int
    seconds: float
    encoder: bool = True  # False: quantizer and loss alone, on given z and c


CASES = [
    Case("TINY", TINY, 16, 2.0),
    Case("BASE", replace(BASE, layerdrop=0.0), 2, 4.0),  # drawn layers would differ between the two
    Case("BASE, quantizer and loss only", BASE, 4, 15.0, encoder=False),
]
MODES = {"fp32": {}, "bf16": {"bf16": True}, "bf16, compiled": {"bf16": True, "compiled": True}}


class Given(nn.Module):
    """Stands in for the base model where quantizer and loss alone are timed: hands out the same z and c."""

    def __init__(self, config: Wav2Vec2Config, batch: int, frames: int) -> None:
        super().__init__()
        self.z = nn.Parameter(torch.randn(batch, frames, config.conv_dim[-1]))  # (B, T, C)
        self.c = nn.Parameter(torch.randn(batch, frames, config.hidden_size))  # (B, T, D)

    def forward(self, *_args: object, **_kwargs: object) -> BaseOutput:
        return BaseOutput(last_hidden_state=self.c, extract_features=self.z, latents=self.z)


@dataclass
class BaseOutput(transformers.utils.ModelOutput):
    """What either side asks of the base model: fields by name, or by position as transformers does."""

    last_hidden_state: torch.Tensor
    extract_features: torch.Tensor | None = None  # transformers' outputs have one required field at most
    latents: torch.Tensor | None = None
    hidden_states: None = None
    attentions: None = None


def update_of(side: str, case: Case, bf16: bool = False, compiled: bool = False) -> Callable[[], None]:
    """A whole update of one side, to be called again and again."""
    torch.manual_seed(0)
    where = device()
    ours = Wav2Vec2ForPreTraining(case.config)
    samples = round(16_000 * case.seconds)
    frames = case.config.frame_lengths(samples)  # T
    x = torch.randn(case.batch, samples).to(where)  # (B, L)
    model = ours
    if side == "transformers":
        model = transformers.Wav2Vec2ForPreTraining(transformers_config(case.config))
        model.load_state_dict(ours.state_dict())
    if not case.encoder:
        model.wav2vec2 = Given(case.config, case.batch, frames)
    model.to(where).train()
    if compiled:
        model.wav2vec2.feature_extractor.compile()
        model.wav2vec2.encoder.compile()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=side == "ours")
    step = our_step if side == "ours" else their_step

    def update() -> None:
        with torch.autocast(where.type, torch.bfloat16, enabled=bf16):
            loss, masked = step(model, case.config, x, frames)
        (loss / masked).backward()
        optimizer.step()
        optimizer.zero_grad()

    return update


def our_step(model: nn.Module, config: Wav2Vec2Config, x: torch.Tensor, frames: int) -> tuple[torch.Tensor, int]:
    mask = time_mask(torch.full((len(x),), frames, device=x.device), config)  # (B, T)
    output = model(x, mask, sample_negatives(mask, config.num_negatives), temperature=2.0)
    return output.loss, output.num_masked


def their_step(model: nn.Module, config: Wav2Vec2Config, x: torch.Tensor, frames: int) -> tuple[torch.Tensor, int]:
    shape = (len(x), frames)
    mask = _compute_mask_indices(shape, config.mask_time_prob, config.mask_time_length, min_masks=2)  # (B, T)
    negatives = torch.from_numpy(_sample_negative_indices(shape, config.num_negatives, mask)).to(x.device)
    output = model(x, mask_time_indices=torch.from_numpy(mask).to(x.device), sampled_negative_indices=negatives)
    return output.loss, int(mask.sum())


def seconds_of(update: Callable[[], None]) -> float:
    """Wall-clock time of one update, on the GPU until it has finished."""
    start = time.perf_counter()
    update()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_memory(case: Case, side: str, mode: str) -> float:
    """MB that three updates take beyond what stood before them, in a process of its own."""
    command = [sys.executable, __file__, "--peak", str(CASES.index(case)), side, mode]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def print_peak(case: int, side: str, mode: str) -> None:
    update = update_of(side, CASES[case], **MODES[mode])
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before, measure = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated
    else:
        before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

        def measure() -> int:
            return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    for _ in range(3):
        update()
    print((measure() - before) / 1e6)


def matrix_product_rate(size: int = 2048) -> float:
    """FLOP/s of a large matrix product in single precision: what this machine can do at best."""
    a, b = torch.randn(2, size, size, device=device())
    return 2 * size**3 / min(seconds_of(lambda: a @ b) for _ in range(10))


def compare(case: Case, mode: str) -> dict[str, object]:
    """Medians over the turns of both times and of their ratio; peak memory of both."""
    updates = [update_of(side, case, **MODES[mode]) for side in SIDES]
    turns = [[seconds_of(update) for update in updates] for _ in range(TURNS + 2)][2:]  # the first two warm up
    ours, theirs = (statistics.median(times) for times in zip(*turns, strict=True))
    ratios = [reference / own for own, reference in turns]
    with FlopCounterMode(display=False) as counter:
        updates[0]()
    return {
        "case": f"{case.name}, {case.batch} × {case.seconds:g} s",
        "mode": mode,
        "ours_seconds": ours,
        "transformers_seconds": theirs,
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "ours_peak_mb": peak_memory(case, "ours", mode),
        "transformers_peak_mb": peak_memory(case, "transformers", mode),
        "flop_per_second": counter.get_total_flops() / ours,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    parser.add_argument("--peak", nargs=3, metavar=("CASE", "SIDE", "MODE"), help="measure peak memory of one row")
    options = parser.parse_args()
    if options.peak:
        print_peak(int(options.peak[0]), *options.peak[1:])
        return
    rate = matrix_product_rate()
    print(f"{versions()}; {TURNS} turns; a matrix product of 2048 reaches {rate / 1e9:.0f} GFLOP/s\n")
    print("| update | mode | ours (s) | transformers (s) | ratio | range | peak MB | transformers' | of that rate |")
    print("| --- | --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |")
    rows = []
    for mode in MODES if torch.cuda.is_available() else ("fp32",):
        for case in CASES:
            if "compiled" in mode and not case.encoder:
                continue  # it is the encoders that are compiled
            row = compare(case, mode)
            rows.append(row)
            low, high = row["ratio_range"]
            print(
                f"| {row['case']} | {mode} | {row['ours_seconds']:.3f} | {row['transformers_seconds']:.3f} | "
                f"{row['ratio']:.2f} | {low:.2f} to {high:.2f} | {row['ours_peak_mb']:.0f} | "
                f"{row['transformers_peak_mb']:.0f} | {row['flop_per_second'] / rate:.0%} |",
                flush=True,
            )
    if options.out:
        result = {"machine": versions(), "turns": TURNS, "matrix_product_flop_per_second": rate, "rows": rows}
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
