"""Span masks: how many spans, how long, never on padding, and the paper's statistics at 15 seconds."""

import math

import pytest
import torch

from w2v2_teach.config import BASE, TINY
from w2v2_teach.masking import span_mask, time_mask

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")),
]


def draw(lengths, p, M, min_spans=2, *, seed=0, device="cpu"):
    lengths = torch.as_tensor(lengths, device=device)
    return span_mask(lengths, p, M, min_spans, torch.Generator(device).manual_seed(seed))


def runs(mask):
    """Lengths of the unbroken stretches of masked frames, row by row; mask (B, T)."""
    change = torch.nn.functional.pad(mask.long(), (1, 1)).diff(dim=1)  # (B, T + 1)
    return (change == -1).nonzero()[:, 1] - (change == 1).nonzero()[:, 1]


def expected_share(T, p, M, min_spans=2):
    """Exact share of masked frames: n starts without replacement among T - M + 1, n being one of two numbers."""
    places, low = T - M + 1, int(p * T)
    share = 0.0
    for spans, chance in ((low, 1 - (p * T - low)), (low + 1, p * T - low)):
        n = min(max(spans, min_spans), places)
        for t in range(T):
            covering = min(t, places - 1) - max(0, t - M + 1) + 1  # starts whose span reaches t
            share += chance * (1 - math.comb(places - covering, n) / math.comb(places, n)) / T
    return share


@pytest.mark.parametrize("device", DEVICES)
def test_the_papers_figures_at_15_seconds(device):
    """arXiv 2006.11477, Section 3.1 and Appendix A: 49 % masked, spans of 14.7 frames on average, median 10."""
    assert BASE.frame_lengths(15 * 16_000) == 749
    mask = draw([749] * 4000, p=0.065, M=10, device=device)
    lengths = runs(mask)
    assert mask.float().mean().item() == pytest.approx(0.4906, abs=0.002)
    assert lengths.float().mean().item() == pytest.approx(14.7, abs=0.15)
    assert lengths.median() == 10
    assert 60 < lengths.max() < 150
    assert (lengths == 10).float().mean().item() == pytest.approx((1 - 0.065) ** 10, abs=0.01)


@pytest.mark.parametrize(
    ("T", "p", "M"), [(749, 0.065, 10), (74, 0.13, 5), (30, 0.065, 10), (30, 0.5, 1), (12, 0.3, 4)]
)
def test_the_share_is_what_drawing_without_replacement_gives(T, p, M):
    shares = draw([T] * 4000, p, M).float().mean(dim=1)  # (B,)
    error = shares.std().item() / 4000**0.5
    assert shares.mean().item() == pytest.approx(expected_share(T, p, M), abs=5 * error + 1e-6)


@pytest.mark.parametrize(("T", "p"), [(40, 0.31), (7, 0.5), (100, 0.065), (20, 0.25)])
def test_the_number_of_spans_is_rounded_by_chance(T, p):
    spans = draw([T] * 5000, p, M=1, min_spans=0).sum(dim=1)  # (B,): with M = 1 each span is one frame
    assert set(spans.tolist()) <= {math.floor(p * T), math.ceil(p * T)}
    assert spans.float().mean().item() == pytest.approx(p * T, abs=0.04)


def test_the_number_is_drawn_for_each_row():
    spans = draw([21] * 50, p=0.5, M=1, min_spans=0).sum(dim=1)  # int(10.5 + u)
    assert set(spans.tolist()) == {10, 11}


def test_every_place_where_a_span_fits_is_as_likely():
    mask = draw([12] * 20_000, p=0.0, M=3, min_spans=1)  # one span each, among 10 starts
    starts = mask.float().argmax(dim=1).bincount(minlength=12)
    assert (starts[10:] == 0).all()
    assert ((starts[:10] / 20_000 - 0.1).abs() < 0.012).all()
    assert (mask.sum(dim=1) == 3).all()


@pytest.mark.parametrize("min_spans", [0, 1, 2, 5])
def test_each_row_gets_its_minimum(min_spans):
    assert (draw([9, 30, 5], p=0.0, M=1, min_spans=min_spans).sum(dim=1) == min_spans).all()


@pytest.mark.parametrize("device", DEVICES)
def test_padding_is_never_masked_and_no_span_is_cut(device):
    lengths = torch.tensor([37, 100, 10, 64, 11, 3])
    for seed in range(50):
        mask = draw(lengths, p=0.1, M=10, seed=seed, device=device).cpu()
        assert mask.shape == (6, 100)
        assert mask.dtype == torch.bool
        assert not mask[torch.arange(100) >= lengths[:, None]].any()
        assert (runs(mask) >= 10).all()
        assert mask[:5].any(dim=1).all()


def test_the_last_frame_of_each_row_can_be_masked():
    lengths = torch.tensor([20, 35])
    masks = torch.stack([draw(lengths, p=0.1, M=10, seed=seed) for seed in range(60)])  # (60, B, T)
    assert masks[:, 0, 0].any()
    assert masks[:, 0, 19].any()
    assert masks[:, 1, 34].any()


@pytest.mark.parametrize(
    ("T", "masked"), [(0, 0), (1, 0), (9, 0), (10, 10)], ids=["no frame", "one frame", "T < M", "T = M"]
)
def test_rows_in_which_hardly_a_span_fits(T, masked):
    mask = draw([T, 50], p=0.065, M=10)
    assert mask[0].sum() == masked
    assert mask[0, :T].all() == (masked == T)
    assert mask[1].any()


def test_one_frame_and_spans_of_one():
    assert draw([1, 1], p=0.0, M=1).tolist() == [[True], [True]]


def test_fewer_places_than_spans_asked_for():
    assert draw([11, 11], p=1.0, M=10, min_spans=0).all()  # both places are taken
    assert draw([12], p=0.0, M=10, min_spans=9).all()


def test_nothing_and_everything():
    assert not draw([50, 20], p=0.0, M=10, min_spans=0).any()
    assert draw([50, 50], p=1.0, M=1, min_spans=0).all()


@pytest.mark.parametrize("device", DEVICES)
def test_the_same_generator_gives_the_same_mask(device):
    first, again = (draw([100, 80], p=0.065, M=10, seed=3, device=device) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, draw([100, 80], p=0.065, M=10, seed=4, device=device))
    assert first.device.type == device
    generator = torch.Generator(device).manual_seed(3)
    lengths = torch.tensor([100, 80], device=device)
    two_calls = [span_mask(lengths, 0.065, 10, generator=generator) for _ in range(2)]
    assert not torch.equal(*two_calls)


def test_without_a_generator_torchs_own_is_used():
    torch.manual_seed(5)
    first = span_mask(torch.tensor([100]), 0.065, 10)
    torch.manual_seed(5)
    assert torch.equal(first, span_mask(torch.tensor([100]), 0.065, 10))


def test_a_row_does_not_depend_on_the_others_lengths():
    """As long as the longest stays, for that decides how many random numbers are drawn."""
    first = draw([60, 90, 100], p=0.065, M=10)
    second = draw([60, 12, 100], p=0.065, M=10)
    assert torch.equal(first[[0, 2]], second[[0, 2]])
    assert not torch.equal(first[1], second[1])


def test_rows_differ():
    mask = draw([200] * 8, p=0.065, M=10)
    assert len({tuple(row) for row in mask.tolist()}) == 8


@pytest.mark.parametrize(
    ("p", "M", "min_spans"),
    [(-0.1, 10, 2), (1.1, 10, 2), (float("nan"), 10, 2), (0.1, 0, 2), (0.1, -1, 2), (0.1, 10, -1)],
)
def test_bad_arguments_are_refused(p, M, min_spans):
    with pytest.raises(ValueError, match=f"M={M}.*min_spans={min_spans}"):
        span_mask(torch.tensor([50]), p, M, min_spans)


@pytest.mark.parametrize("config", [BASE, TINY], ids=["base", "tiny"])
def test_a_configuration_asks_for_p_times_m(config):
    lengths, seed = torch.tensor([400, 230]), 7
    M = config.mask_time_length
    mask = time_mask(lengths, config, torch.Generator().manual_seed(seed))
    assert torch.equal(mask, draw(lengths, config.mask_time_prob / M, M, config.mask_time_min_masks, seed=seed))
    assert mask.float().sum() / lengths.sum() == pytest.approx(0.49, abs=0.1)
