"""How fast the model is beside transformers' with the same weights: both in one process, taking turns, as a ratio.

    python benchmarks/speed.py            # or: make speed

Both use PyTorch's fused attention. A ratio below 1 means that ours is the faster one.
"""

import statistics
import time
from collections.abc import Callable

import torch

from w2v2_teach.config import BASE, TINY, Wav2Vec2Config
from w2v2_teach.course.environment import device, versions
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.reference import to_transformers

TURNS = 11
CASES = [  # name, configuration, B, seconds, with the backward pass?
    ("BASE, forward", BASE, 1, 5.0, False),
    ("TINY, forward", TINY, 8, 4.0, False),
    ("TINY, forward and backward", TINY, 8, 4.0, True),
]


def seconds(step: Callable[[], None]) -> float:
    """Wall-clock time of one step, on the GPU until it has finished."""
    start = time.perf_counter()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def step_of(model: torch.nn.Module, x: torch.Tensor, backward: bool) -> Callable[[], None]:
    def step() -> None:
        with torch.set_grad_enabled(backward):
            c = model(x).last_hidden_state  # (B, T, D)
        if backward:
            c.square().mean().backward()

    return step


def compare(config: Wav2Vec2Config, batch: int, duration: float, backward: bool) -> tuple[float, float, float, float]:
    """Median times of ours and theirs in s; median and largest deviation from it of the ratio, turn by turn."""
    torch.manual_seed(0)
    ours = Wav2Vec2Model(config).to(device()).eval()  # evaluation: dropout would cost both the same, and blur
    theirs = to_transformers(ours).to(device())
    theirs.set_attn_implementation("sdpa")
    x = torch.randn(batch, round(16_000 * duration), device=device())  # (B, L)
    steps = [step_of(model, x, backward) for model in (ours, theirs)]
    turns = [[seconds(step) for step in steps] for _ in range(TURNS + 1)][1:]  # the first one warms up
    ratios = [own / reference for own, reference in turns]
    middle = statistics.median(ratios)
    return (
        *(statistics.median(times) for times in zip(*turns, strict=True)),
        middle,
        max(abs(r - middle) for r in ratios),
    )


def main() -> None:
    print(f"{versions()}, {TURNS} turns\n")
    print("| case | ours (s) | transformers (s) | ratio | largest deviation |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, config, batch, duration, backward in CASES:
        ours, theirs, ratio, spread = compare(config, batch, duration, backward)
        print(f"| {name}, {batch} × {duration:g} s | {ours:.3f} | {theirs:.3f} | {ratio:.2f} | ± {spread:.2f} |")


if __name__ == "__main__":
    main()
