"""Chance is what a blind guesser gets in the game that is really played."""

import math

import pytest
import torch

from w2v2_teach.analysis.chance import expected_chance
from w2v2_teach.losses import contrastive_logits, contrastive_loss, sample_negatives


def test_by_hand():
    codes = torch.tensor([[0, 0], [0, 0], [1, 0], [1, 2]])
    negatives = torch.tensor([[1, 2, 2], [0, 2, 3], [0, 1, 3], [2, 2, 2]])
    # candidates that differ: {own, 2}, {own, 2, 3}, {own, 0 = 1, 3}, {own, 2}
    # candidates that stand: own + 2 + 2, own + 2 + 3, all four, all four
    chance = expected_chance(codes, negatives)
    assert chance.accuracy == pytest.approx((1 / 2 + 1 / 3 + 1 / 3 + 1 / 2) / 4)
    assert chance.loss == pytest.approx((2 * math.log(3) + 2 * math.log(4)) / 4)


@pytest.mark.slow
@pytest.mark.parametrize(("frames", "K", "entries"), [(79, 50, 64), (79, 100, 64), (40, 50, 4)])
def test_a_blind_guesser_earns_it(frames, K, entries):
    generator = torch.Generator().manual_seed(0)
    mask = torch.ones(12, frames, dtype=torch.bool)
    N, right, loss, expected = int(mask.sum()), [], [], []
    for _ in range(20):
        codes = torch.randint(entries, (N, 2), generator=generator)
        negatives = sample_negatives(mask, K, generator)
        vectors = torch.randn(entries, entries, 64, generator=generator)  # one for each pair of codes
        q = vectors[codes[:, 0], codes[:, 1]]  # (N, 64)
        c = torch.randn(N, 64, generator=generator)  # contexts that know nothing
        logits = contrastive_logits(c, q, codes, negatives, kappa=0.1)  # (N, K + 1)
        right.append((logits[:, 0] > logits[:, 1:].amax(dim=1)).float().mean().item())
        level = contrastive_logits(torch.zeros_like(c), q, codes, negatives, kappa=0.1)
        loss.append(contrastive_loss(level).item() / N)
        expected.append(expected_chance(codes, negatives))
    accuracy, nats = torch.tensor(expected).mean(dim=0).tolist()
    assert sum(right) / 20 == pytest.approx(accuracy, rel=0.08)
    assert sum(loss) / 20 == pytest.approx(nats, rel=1e-4)
    assert accuracy > 1.15 / (K + 1), "better than one in K + 1"
