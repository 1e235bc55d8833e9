"""What the attention explorer sends: never too much, close to what was computed, and the right head numbers."""

import json
import zlib

import numpy as np
import pytest
import torch

from w2v2_teach.analysis.attention import diagonality, head_numbers, head_types
from w2v2_teach.config import TINY
from w2v2_teach.course.widgets import attention
from w2v2_teach.course.widgets.attention import (
    BUDGET,
    LEVELS,
    AttentionExplorer,
    describe_heads,
    pairs_joined,
    shrunk,
)
from w2v2_teach.feature_encoder import frame_times
from w2v2_teach.speech.intervals import Interval

WORDS = [Interval(0.0, 0.2, "red"), Interval(0.2, 0.6, "door")]


def softmax(scores: np.ndarray) -> np.ndarray:
    return torch.from_numpy(scores).softmax(-1).numpy()


def noise(heads: int, T: int, strength: float = 1.0) -> np.ndarray:
    return softmax(strength * np.random.default_rng(0).standard_normal((heads, T, T), dtype=np.float32))


def unpacked(small) -> np.ndarray:
    """The weights as the browser reads them."""
    maps = len(small.scales)
    levels = np.frombuffer(zlib.decompress(small.weights), "u1").reshape(maps, small.frames, small.frames)
    ranges = np.frombuffer(zlib.decompress(small.ranges), "<u2").reshape(maps, small.frames, 2) / 65_535
    low, high = np.split(ranges * np.array([s["largest"] for s in small.scales])[:, None, None], 2, axis=2)
    return low + (high - low) * (levels / (small.levels - 1)) ** 2


@pytest.mark.parametrize("strength", [0.01, 1.0, 5.0])
@pytest.mark.parametrize("budget", [10_000_000, 25_000])
def test_a_weight_is_off_by_half_a_step_between_the_extremes_of_its_row(strength, budget):
    maps = noise(3, 100, strength)
    small = shrunk(maps, budget)
    assert small.joined == 1
    assert small.levels == (64 if budget > 1e6 else small.levels)
    reach = np.ptp(maps, axis=2, keepdims=True)
    rounding = maps.max() / 65_535  # of the two extremes
    assert (np.abs(unpacked(small) - maps) <= reach / (small.levels - 1) + rounding).all()


def test_fewer_levels_are_taken_only_where_more_do_not_fit():
    maps = noise(3, 100)
    sizes = {}
    for levels in LEVELS:
        small = next(s for s in (shrunk(maps, budget) for budget in range(30_000, 5_000, -500)) if s.levels == levels)
        sizes[levels] = len(small.weights)
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
    for levels in LEVELS:
        assert shrunk(maps, sizes[levels] + len(small.ranges)).levels == levels


def test_frames_are_joined_where_no_levels_fit_and_rows_still_add_up():
    maps = noise(2, 101)
    small = shrunk(maps, 4_000)
    assert (small.joined, small.frames) == (2, 51)
    joined = pairs_joined(maps)
    np.testing.assert_allclose(joined.sum(axis=2), 1, rtol=1e-5)
    np.testing.assert_allclose(joined[0, 3, 7], maps[0, 6:8, 14:16].sum() / 2, rtol=1e-5)
    np.testing.assert_allclose(joined[1, 50, 50], maps[1, 100, 100], rtol=1e-5)


@pytest.mark.slow
def test_the_largest_view_takes_at_most_a_megabyte_and_a_half():
    maps = noise(32, 400).reshape(4, 8, 400, 400)  # noise of every row's own: nothing is harder to pack
    attentions = {f"layer {i + 1}": torch.from_numpy(weights) for i, weights in enumerate(maps)}
    explorer = AttentionExplorer(attentions, torch.randn(128_000), (), WORDS, hop=0.02, first=0.0125)
    sent = (explorer.weights, explorer.ranges, explorer.sound, repr([explorer.heads, explorer.shape, explorer.words]))
    assert sum(map(len, sent)) <= BUDGET


def test_joined_frames_keep_their_times_and_their_mask(monkeypatch):
    monkeypatch.setattr(attention, "BUDGET", 70_000)
    mask = torch.zeros(100, dtype=torch.bool)
    mask[7] = True
    maps = {"one": torch.from_numpy(noise(8, 100))}
    explorer = AttentionExplorer(maps, torch.zeros(1000), (), (), hop=0.02, first=0.0125, mask=mask)
    joined = 100 // explorer.shape["frames"]
    assert joined > 1
    assert explorer.shape["hop"] == pytest.approx(0.02 * joined)
    assert explorer.shape["first"] == pytest.approx(0.0125 + 0.02 * (joined - 1) / 2)  # the middle of the first ones
    assert [t for t, masked in enumerate(explorer.mask) if masked] == [7 // joined]


def test_times_from_a_tensor_reach_the_browser_as_numbers():
    times = frame_times(TINY, 5)
    maps = {"one": torch.ones(1, 5, 5) / 5}
    explorer = AttentionExplorer(maps, torch.zeros(1600), (), (), hop=times[1] - times[0], first=times[0])
    assert json.loads(json.dumps(explorer.shape))["first"] == times[0]


def test_every_head_is_described_as_the_analysis_does():
    maps = noise(8, 30, 3.0).reshape(2, 4, 30, 30)
    heads = describe_heads(maps)
    assert [(h["layer"], h["head"]) for h in heads] == [(layer, head) for layer in range(2) for head in range(4)]
    assert [h["type"] for h in heads] == head_types(head_numbers([maps])).ravel().tolist()
    np.testing.assert_allclose([h["diagonality"] for h in heads], diagonality(maps).ravel())


def test_layers_of_different_shapes_are_refused():
    attentions = {"one": torch.ones(2, 5, 5) / 5, "two": torch.ones(3, 5, 5) / 5}
    with pytest.raises(ValueError, match="same shape"):
        AttentionExplorer(attentions, torch.randn(8000), (), (), hop=0.02, first=0.0125)


def test_more_sound_than_a_view_can_take_is_refused():
    with pytest.raises(ValueError, match=r"at most 30 s; this is 31\.0 s"):
        AttentionExplorer({"one": torch.ones(1, 5, 5) / 5}, torch.zeros(31 * 16_000), (), (), hop=6.2, first=3.1)


def test_its_static_figure_counts_the_types():
    explorer = AttentionExplorer(
        {"one": torch.from_numpy(noise(3, 12))}, torch.randn(9600), (), WORDS, hop=0.05, first=0.025
    )
    data, _ = explorer._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert "1 layers with 3 heads each over 12 frames: 1 global, 1 vertical, 1 diagonal" in data["text/plain"]
