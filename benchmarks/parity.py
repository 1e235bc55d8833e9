"""The parity table: stage × configuration × largest absolute difference to transformers, in single precision.

    python benchmarks/parity.py            # or: make parity

BASE and LARGE are built in full size with random weights (seed 0), so it takes about a minute and 6 GB.
"""

import torch

from w2v2_teach.config import BASE, LARGE, TINY, Wav2Vec2Config
from w2v2_teach.course.environment import versions
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.reference import stage_differences, to_transformers

CONFIGS = {"BASE": BASE, "LARGE": LARGE, "TINY": TINY}
LENGTHS = torch.tensor([16_000, 11_234])  # samples of the two utterances in a batch


def parity(config: Wav2Vec2Config) -> dict[str, dict[str, float]]:
    """Largest difference of each stage, on a whole batch and on the same batch with padding masked."""
    torch.manual_seed(0)
    model = Wav2Vec2Model(config).eval()
    hf_model = to_transformers(model)
    ours, theirs = (sum(p.numel() for p in m.parameters()) for m in (model, hf_model))
    assert ours == theirs, f"{ours:,} parameters here, {theirs:,} in transformers"
    mask = (torch.arange(int(LENGTHS.max())) < LENGTHS[:, None]).long()  # (B, L)
    x = torch.randn(mask.shape)  # (B, L)
    return {
        f"({ours / 1e6:.1f} M)": stage_differences(model, hf_model, x),
        "padded": stage_differences(model, hf_model, x * mask, mask),
    }


def summarize(differences: dict[str, float]) -> dict[str, float]:
    """One line for all hidden states and one for all attentions; the other stages as they are."""
    rows = {}
    for stage, value in differences.items():
        name = next((f"{group}s, worst" for group in ("hidden state", "attention") if stage.startswith(group)), stage)
        rows[name] = max(value, rows.get(name, 0.0))
    return rows


def main() -> None:
    columns = {}
    for name, config in CONFIGS.items():
        for case, differences in parity(config).items():
            columns[f"{name} {case}"] = summarize(differences)
    stages = list(next(iter(columns.values())))
    print(f"{versions()}\n")
    print(f"| largest difference to transformers | {' | '.join(columns)} |")
    print(f"| --- |{' ---: |' * len(columns)}")
    for stage in stages:
        print(f"| {stage} | {' | '.join(f'{column[stage]:.1e}' for column in columns.values())} |")


if __name__ == "__main__":
    main()
