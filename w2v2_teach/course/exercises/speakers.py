"""Exercises of notebook 12: a margin on an angle, pooling, both errors of a threshold, a mixture of layers."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from w2v2_teach.course.exercises import Exercise, rounds, whole


def _own(cosine: Tensor, labels: Tensor) -> Tensor:
    return one_hot(labels, cosine.shape[1]).bool()  # (N, S)


def margin_logits(cosine: Tensor, labels: Tensor, margin: float, scale: float) -> Tensor:
    """ArcFace logits (N, S) from cosines (N, S) and labels (N,); all angles are below π - margin."""
    return scale * torch.where(_own(cosine, labels), (cosine.acos() + margin).cos(), cosine)


def _cosines_case() -> tuple[Tensor, Tensor, float, float]:
    N, S = whole(3, 9), whole(4, 7)
    margin, scale = float(0.1 + 0.4 * torch.rand(())), float(5 + 25 * torch.rand(()))
    return 0.8 * (2 * torch.rand(N, S) - 1), torch.randint(S, (N,)), margin, scale


check_margin_logits = Exercise(
    solution=margin_logits, cases=rounds(_cosines_case), atol=1e-3,
    passed="Right: the own class is judged at a wider angle, every other class at its own.",
    mistakes={
        "The margin goes to the own class alone; you gave it to all.": lambda x, _, m, s: s * (x.acos() + m).cos(),
        "The margin went to every class but the own one.":
            lambda x, labels, m, s: s * torch.where(_own(x, labels), x, (x.acos() + m).cos()),
        "You made the angle smaller, which helps the own class; the margin makes its task harder.":
            lambda x, labels, m, s: margin_logits(x, labels, -m, s),
        "You took the margin from the cosine, as CosFace does; ArcFace adds it to the angle.":
            lambda x, labels, m, s: s * (x - m * _own(x, labels)),
        "Multiply by s: cosines differ by 2 at most.": lambda x, labels, m, _: margin_logits(x, labels, m, 1),
        "These are the logits without a margin.": lambda x, _, __, s: s * x,
        "These are angles; a logit is the cosine of the angle, times s.":
            lambda x, labels, m, s: s * (x.acos() + m * _own(x, labels)),
        "You scaled the own class alone; every logit is multiplied by s.":
            lambda x, labels, m, s: torch.where(_own(x, labels), margin_logits(x, labels, m, s), x),
    },
)  # fmt: skip


def statistics(x: Tensor, mask: Tensor) -> Tensor:
    """Mean and standard deviation (B, 2 D) of the real frames of x (B, T, D), which mask (B, T) marks."""
    return torch.cat(_halves(x, mask), dim=1)


def _halves(x: Tensor, mask: Tensor, correction: int = 0) -> tuple[Tensor, Tensor]:
    rows = [row[real] for row, real in zip(x, mask, strict=True)]  # each (frames, D)
    return torch.stack([row.mean(0) for row in rows]), torch.stack([row.std(0, correction=correction) for row in rows])


def _with_padding(x: Tensor) -> Tensor:
    return torch.cat([x.mean(dim=1), x.std(dim=1, correction=0)], dim=1)


def _frames_case() -> tuple[Tensor, Tensor]:
    B, T, D = whole(3, 6), whole(9, 12), whole(3, 6)
    mask = torch.arange(T) < torch.randint(3, T, (B, 1))  # (B, T)
    return 2 * torch.randn(B, T, D) + 1, mask


check_statistics = Exercise(
    solution=statistics, cases=rounds(_frames_case), atol=1e-2,
    passed="Right: mean and standard deviation of the real frames, whatever stands in the padding.",
    mistakes={
        "Padding is counted as if it were speech: use the mask.": lambda x, _: _with_padding(x),
        "Padding counts as zeros: divide by the number of real frames, not by T.":
            lambda x, mask: _with_padding(x * mask[:, :, None]),
        "This is the variance; its root is the standard deviation.":
            lambda x, mask: torch.cat([(both := _halves(x, mask))[0], both[1] ** 2], dim=1),
        "The standard deviation divides by the number of frames here, not by one less.":
            lambda x, mask: torch.cat(_halves(x, mask, correction=1), dim=1),
        "Mean first, then standard deviation.": lambda x, mask: torch.cat(_halves(x, mask)[::-1], dim=1),
        "Only the mean: the standard deviation stands behind it.": lambda x, mask: _halves(x, mask)[0],
        "√(mean of x²) is not the standard deviation: subtract the mean first.":
            lambda x, mask: torch.cat([(both := _halves(x, mask))[0], (both[0] ** 2 + both[1] ** 2).sqrt()], dim=1),
    },
)  # fmt: skip


def _shares(accepted: Tensor, is_same: Tensor) -> tuple[Tensor, Tensor]:
    return accepted[~is_same].float().mean(), (~accepted)[is_same].float().mean()


def errors_at(scores: Tensor, is_same: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """False accepts and false rejects, as shares, of pairs with scores (P,) and is_same (P,) at a threshold."""
    return _shares(scores >= threshold, is_same)


def _wrong_pairs(scores: Tensor, is_same: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    accepted = scores >= threshold
    return accepted & ~is_same, ~accepted & is_same  # (P,) each


def _of_the_decided(scores: Tensor, is_same: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    accepted = scores >= threshold
    return (~is_same)[accepted].float().mean(), is_same[~accepted].float().mean()


def _pairs_case(threshold: float | None = None) -> tuple[Tensor, Tensor, float]:
    is_same = torch.rand(P := whole(40, 60)) < 0.3
    is_same[:3], is_same[3:6] = True, False
    scores = (torch.randn(P) + 1.5 * is_same).mul(4).round().div(4)
    return scores, is_same, float(scores[whole(0, P)]) if threshold is None else threshold  # which some scores equal


check_errors_at = Exercise(
    solution=errors_at, cases=lambda: [_pairs_case(0.75), *rounds(_pairs_case, 3)()],  # 0.75 tells all mistakes apart
    passed="Right: of the pairs of two speakers those let in, of the pairs of one those kept out.",
    mistakes={
        "False accepts first, then false rejects.": lambda *case: errors_at(*case)[::-1],
        "A pair whose score equals the threshold is accepted.":
            lambda scores, is_same, threshold: _shares(scores > threshold, is_same),
        "You divided by all pairs; each error is a share of the pairs that can make it.":
            lambda *case: [wrong.float().mean() for wrong in _wrong_pairs(*case)],
        "These are counts; shares are wanted.": lambda *case: [wrong.sum() for wrong in _wrong_pairs(*case)],
        "You divided by the accepted and the rejected; divide by the pairs of two speakers, and of one.":
            _of_the_decided,
        "These are the shares of right decisions; the wrong ones are wanted.":
            lambda *case: [1 - error for error in errors_at(*case)],
    },
)  # fmt: skip


def _weighted(states: Tensor, weights: Tensor) -> Tensor:
    return torch.einsum("lbtd,l->btd", states, weights)


def mix(states: Tensor, layer_weights: Tensor) -> Tensor:
    """The mixture (B, T, D) of the layers of states (L, B, T, D), by the softmax of layer_weights (L,)."""
    return _weighted(states, layer_weights.softmax(0))


check_mix = Exercise(
    solution=mix,
    cases=rounds(lambda: (torch.randn(L := whole(3, 6), whole(2, 5), whole(3, 6), whole(4, 7)), 2 * torch.randn(L))),
    atol=1e-4,
    passed="Right: softmax makes weights of any numbers, and the layers are added up with them.",
    mistakes={
        "The weights are used as they are; softmax makes them positive, and add up to 1.": _weighted,
        "This is the mean of all layers: where are the weights?": lambda states, _: states.mean(0),
        "You averaged over the layers as well; a weighted sum is enough.": lambda states, w: mix(states, w) / len(w),
        "The weights are not divided by their sum: softmax does that.": lambda states, w: _weighted(states, w.exp()),
        "This is the one layer with the largest weight; all of them are mixed.": lambda states, w: states[w.argmax()],
        "The layers are weighted, but not added up.": lambda states, w: states * w.softmax(0)[:, None, None, None],
        "Divided by their sum, the weights may still be negative: take the softmax.":
            lambda states, w: _weighted(states, w / w.sum()),
    },
)  # fmt: skip
