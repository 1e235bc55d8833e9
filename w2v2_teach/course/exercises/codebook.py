"""Exercises of notebook 08: P(phone | code), PNMI, shares of few frames, dwell times."""

import math

import torch
from torch import Tensor

from w2v2_teach.course.exercises import Exercise, Mistake, not_finite, rounds, whole


def _counts(unused: bool = True, zeros: bool = True) -> Tensor:
    """(phones, codes) frames, as whole numbers in float: every phone is met, and every code, or all but one."""
    phones, codes = whole(3, 6), whole(6, 9)
    counts = torch.randint(0 if zeros else 1, 40, (phones, codes)).float()
    counts[torch.arange(codes) % phones, torch.arange(codes)] += 20
    counts[0] += 60 * (torch.arange(codes) % 3 == 0)  # one phone is common: shares and prior are far from even
    if unused:
        counts[:, whole(0, codes)] = 0
    return counts


def conditional(counts: Tensor) -> Tensor:
    """P(phone | code) (phones, codes) from counts (phones, codes); zeros for codes without frames."""
    return counts / counts.sum(0).clamp(min=1)


check_conditional = Exercise(
    solution=conditional, cases=lambda: [(_counts(unused=False),), *rounds(lambda: (_counts(),), 3)()],
    passed="Right: each used code's column adds up to 1, and a code that nobody uses promises nothing.",
    mistakes={
        "There is a code without frames in this case, and 0 / 0 is NaN: let its column be zeros. `clamp(min=1)` on the"
        " number of frames does it.":
            Mistake(lambda n: n / n.sum(0), not_finite),
        "This is P(code | phone): your rows add up to 1. Divide by the frames of each code.":
            lambda n: n / n.sum(1, keepdim=True),
        "This is P(phone, code), the share of all frames: divide by the frames of each code.": lambda n: n / n.sum(),
        "Your codes lie along the rows: give the table back as you got it, (phones, codes).":
            lambda n: conditional(n).T,
        "You divided by the largest count of the code; divide by all of its frames.":
            lambda n: n / n.amax(0).clamp(min=1),
        "This is softmax of the counts. They are counts, not logits: divide them.": lambda n: n.softmax(0),
        "Each column was divided by the number of frames plus one; only a code without frames needs help.":
            lambda n: n / (n.sum(0) + 1),
    },
)  # fmt: skip


def _entropy(counts: Tensor) -> Tensor:
    p = counts / counts.sum()
    return -torch.xlogy(p, p).sum()


def _naive(counts: Tensor) -> Tensor:
    p = counts / counts.sum()
    return -(p * p.log()).sum()


def _information(counts: Tensor) -> Tensor:
    return _entropy(counts.sum(1)) + _entropy(counts.sum(0)) - _entropy(counts)


def pnmi(counts: Tensor) -> Tensor:
    """Phone-normalized mutual information of counts (phones, codes): a number in [0, 1]."""
    return _information(counts) / _entropy(counts.sum(1))


check_pnmi = Exercise(
    solution=pnmi,
    cases=lambda: [(_counts(unused, zeros),) for unused, zeros in ((False, False), (False, True), (True, True))],
    atol=1e-4,
    passed="Right: the share of the phones' entropy that the codes take away.",
    hint="I(phone; code) / H(phone), and I = H(phone) + H(code) − H(phone, code).",
    mistakes={
        "Your result is NaN: a cell with count 0 gives 0 · log 0, whose limit is 0. Use `torch.xlogy`.":
            Mistake(lambda n: (_naive(n.sum(1)) + _naive(n.sum(0)) - _naive(n)) / _naive(n.sum(1)), not_finite),
        "This is the mutual information in nats; divide it by the entropy of the phones.": _information,
        "This is the mutual information in bits; divide it by the entropy of the phones.":
            lambda n: _information(n) / math.log(2),
        "You divided by the entropy of the codes: that is how much of the code the phone explains.":
            lambda n: _information(n) / _entropy(n.sum(0)),
        "You divided by the joint entropy; PNMI divides by that of the phones.":
            lambda n: _information(n) / _entropy(n),
        "You divided by the mean of both entropies, as `normalized_mutual_info_score` does by default; PNMI divides by"
        " that of the phones.":
            lambda n: 2 * _information(n) / (_entropy(n.sum(1)) + _entropy(n.sum(0))),
        "This is H(phone | code) / H(phone), the share that remains unknown; PNMI is 1 minus that.":
            lambda n: 1 - pnmi(n),
        "This is H(phone | code), what remains unknown, in nats.": lambda n: _entropy(n) - _entropy(n.sum(0)),
    },
)  # fmt: skip


def shrunk(counts: Tensor, m: float) -> Tensor:
    """P(phone | code) (phones, codes) as if each code had m more frames, distributed as all frames are."""
    prior = counts.sum(1, keepdim=True) / counts.sum()  # (phones, 1)
    return (counts + m * prior) / (counts.sum(0) + m)


check_shrunk = Exercise(
    solution=shrunk, cases=lambda: [(_counts(), m) for m in (5.0, 1.0, 20.0, 3.0)],
    passed="Right: three frames move you a little, three hundred move you far.",
    hint="(n(phone, code) + m · P(phone)) / (n(code) + m).",
    mistakes={
        "You added m frames, but still divide by the old number: the columns must add up to 1.":
            lambda n, m: shrunk(n, m) * (n.sum(0) + m) / n.sum(0).clamp(min=1),
        "You added m frames to every phone. It is m frames in all, dealt as all frames are: m · P(phone).":
            lambda n, m: (n + m) / (n + m).sum(0),
        "You dealt the m frames evenly; deal them as all frames are: m · P(phone).":
            lambda n, m: (n + m / len(n)) / (n.sum(0) + m),
        "These are the shares as they are; the m frames of the average are missing.": lambda n, _: conditional(n),
        "You added P(phone) once; add m frames of it.": lambda n, _: shrunk(n, 1.0),
        "The average must be that of all frames; each phone's mean over codes lets rare codes count as much as common "
        "ones.":
            lambda n, m: (n + m * conditional(n).mean(1, keepdim=True)) / (n.sum(0) + m),
    },
)  # fmt: skip


def dwell_times(codes: Tensor) -> Tensor:
    """How many frames each code of codes (T,) stays, in order: (runs,)."""
    return torch.unique_consecutive(codes, return_counts=True)[1]


check_dwell_times = Exercise(
    solution=dwell_times,
    cases=lambda: [
        (torch.tensor(codes),)
        for codes in ([5, 5, 5, 2, 2, 5, 7, 7], [1, 2, 3], [4, 4, 4, 4], [3, 3, 1, 1, 1, 3, 3, 3, 2], [6])
    ],
    passed="Right: every run, the last one too, and together they are all the frames.",
    mistakes={
        "The last run is missing: it ends where the utterance ends.": lambda codes: dwell_times(codes)[:-1],
        "The first run is missing: it begins where the utterance begins.": lambda codes: dwell_times(codes)[1:],
        "These are the codes of the runs; their lengths are wanted.": torch.unique_consecutive,
        "You counted each code over the whole utterance. A code that comes back begins a new run.":
            lambda codes: codes.unique(return_counts=True)[1],
        "Each of your runs is one frame short: a run that never changes within is as long as its frames.":
            lambda codes: dwell_times(codes) - 1,
        "These are the places where a run begins; their differences are the lengths.":
            lambda codes: dwell_times(codes).cumsum(0) - dwell_times(codes),
        "These are the places where a run ends; their differences are the lengths.":
            lambda codes: dwell_times(codes).cumsum(0),
        "This is the mean length; each length by itself is wanted.": lambda codes: dwell_times(codes).double().mean(),
    },
)  # fmt: skip
