"""Probes of frames, on contexts that are made up."""

import numpy as np
import pytest
import torch

from w2v2_teach.analysis.probes import cluster_phones, copy_scores, phone_probe


def test_a_copy_is_scored_without_what_all_frames_share():
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])  # (T, C)
    wanted = torch.tensor([[1.0, 0, -1, 0], [0, 1, 0, -1], [-1, 0, 1, 0], [0, -1, 0, 1]])
    torch.testing.assert_close(copy_scores(z), wanted)
    torch.testing.assert_close(copy_scores(3 * z + torch.tensor([50.0, 7.0])), wanted, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def speakers():
    """Frames of two people who say ten phones, each phone a place in the plane: x to learn from, x to measure on."""
    generator = np.random.default_rng(0)
    places = generator.normal(size=(10, 2)) * 10
    phones = [generator.integers(10, size=n) for n in (600, 400)]
    return *(places[p] + generator.normal(size=(len(p), 2)) * 0.1 for p in phones), *(p.astype(str) for p in phones)


def test_a_probe_learned_from_some_tells_the_phones_of_others(speakers):
    learned, heard, phones, truth = speakers
    assert phone_probe(learned, phones, heard, truth) > 0.99
    nothing = np.random.default_rng(1).normal(size=(1_000, 2))
    assert phone_probe(nothing[:600], phones, nothing[600:], truth) < 0.2


def test_clusters_found_in_some_explain_the_phones_of_others(speakers):
    learned, heard, _, truth = speakers
    explained = cluster_phones(learned, heard, truth, clusters=30)
    assert explained.pnmi > 0.99
    assert 0.02 < explained.shuffled < 0.3, "30 codes for 400 frames explain something by chance"
    assert cluster_phones(learned, heard, truth, clusters=2).pnmi < 0.5
