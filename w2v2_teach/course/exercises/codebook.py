"""Checks of notebook 08: P(phone | code), PNMI, shares of few frames, dwell times."""

from __future__ import annotations

import torch
from torch import Tensor

from w2v2_teach.course.exercises import Answer, Wrong, call, exercise, expect, recognize

ROUNDS = 4  # random cases per check


@exercise("Right: each used code's column adds up to 1, and a code that nobody uses promises nothing.")
def check_conditional(answer: Answer) -> None:
    """conditional(counts (phones, codes)) → (phones, codes), P(phone | code); zeros for codes without frames."""
    for round_ in range(ROUNDS):
        counts = _counts(unused=round_ > 0)  # (phones, codes)
        frames = counts.sum(0)  # (codes,)
        wanted = counts / frames.clamp(min=1)
        got = call(answer, counts)
        if isinstance(got, Tensor) and got.isnan().any():
            raise Wrong(
                "There is a code without frames in this case, and 0 / 0 is NaN: let its column be zeros. "
                "`clamp(min=1)` on the number of frames does it."
            )
        rows = counts / counts.sum(1, keepdim=True)
        recognize(
            got,
            wanted,
            {
                "This is P(code | phone): your rows add up to 1. Divide by the frames of each code.": rows,
                "This is P(phone, code), the share of all frames: divide by the frames of each code.": (
                    counts / counts.sum()
                ),
                "Your codes lie along the rows: give the table back as you got it, (phones, codes).": wanted.T,
                "You divided by the largest count of the code; divide by all of its frames.": (
                    counts / counts.amax(0).clamp(min=1)
                ),
                "This is softmax of the counts. They are counts, not logits: divide them.": counts.softmax(0),
                "Each column was divided by the number of frames plus one; only a code without frames needs help.": (
                    counts / (frames + 1)
                ),
            },
        )
        expect(got, wanted, f"The case had {len(counts)} phones and {len(frames)} codes.")


@exercise("Right: the share of the phones' entropy that the codes take away.")
def check_pnmi(answer: Answer) -> None:
    """pnmi(counts (phones, codes)) → a number in [0, 1]."""
    for round_ in range(ROUNDS):
        counts = _counts(unused=round_ > 1, zeros=round_ > 0)
        phones, codes, both = (_entropy(c) for c in (counts.sum(1), counts.sum(0), counts))
        information = phones + codes - both
        wanted = information / phones
        got = call(answer, counts)
        if isinstance(got, Tensor | float) and torch.as_tensor(got).isnan().any():
            raise Wrong("Your result is NaN: a cell with count 0 gives 0 · log 0, whose limit is 0. Use `torch.xlogy`.")
        recognize(
            got,
            wanted,
            {
                "This is the mutual information in nats; divide it by the entropy of the phones.": information,
                "This is the mutual information in bits; divide it by the entropy of the phones.": (
                    information / torch.tensor(2.0).log()
                ),
                "You divided by the entropy of the codes: that is how much of the code the phone explains.": (
                    information / codes
                ),
                "You divided by the joint entropy; PNMI divides by that of the phones.": information / both,
                "You divided by the mean of both entropies, as `normalized_mutual_info_score` does by default; PNMI "
                "divides by that of the phones.": 2 * information / (phones + codes),
                "This is H(phone | code) / H(phone), the share that remains unknown; PNMI is 1 minus that.": 1 - wanted,
                "This is H(phone | code), what remains unknown, in nats.": both - codes,
            },
        )
        expect(got, wanted, "I(phone; code) / H(phone), and I = H(phone) + H(code) − H(phone, code).", atol=1e-4)


@exercise("Right: three frames move you a little, three hundred move you far.")
def check_shrunk(answer: Answer) -> None:
    """shrunk(counts (phones, codes), m) → (phones, codes), each column as if m frames of the average were added."""
    for m in (5.0, 1.0, 20.0, 3.0):
        counts = _counts(unused=True)
        frames, prior = counts.sum(0), counts.sum(1) / counts.sum()  # (codes,), (phones,)
        wanted = (counts + m * prior[:, None]) / (frames + m)
        got = call(answer, counts, m)
        flat = torch.full_like(prior, 1 / len(prior))[:, None]
        recognize(
            got,
            wanted,
            {
                "You added m frames, but still divide by the old number: the columns must add up to 1.": (
                    (counts + m * prior[:, None]) / frames.clamp(min=1)
                ),
                "You added m frames to every phone. It is m frames in all, dealt as all frames are: m · P(phone).": (
                    (counts + m) / (counts + m).sum(0)
                ),
                "You dealt the m frames evenly; deal them as all frames are: m · P(phone).": (
                    (counts + m * flat) / (frames + m)
                ),
                "These are the shares as they are; the m frames of the average are missing.": (
                    counts / frames.clamp(min=1)
                ),
                "You added P(phone) once; add m frames of it.": (counts + prior[:, None]) / (frames + 1),
                "The average must be that of all frames; each phone's mean over codes lets rare codes count as much as "
                "common ones.": (counts + m * (counts / frames.clamp(min=1)).mean(1, keepdim=True)) / (frames + m),
            },
        )
        expect(got, wanted, f"(n(phone, code) + m · P(phone)) / (n(code) + m), here with m = {m:g}.")


@exercise("Right: every run, the last one too, and together they are all the frames.")
def check_dwell_times(answer: Answer) -> None:
    """dwell_times(codes (T,)) → (runs,), how many frames each code stays, in order."""
    for case in ([5, 5, 5, 2, 2, 5, 7, 7], [1, 2, 3], [4, 4, 4, 4], [3, 3, 1, 1, 1, 3, 3, 3, 2], [6]):
        codes = torch.tensor(case)  # (T,)
        wanted = torch.unique_consecutive(codes, return_counts=True)[1]
        got = call(answer, codes)
        together = torch.unique(codes, return_counts=True)[1]
        recognize(
            got,
            wanted,
            {
                "The last run is missing: it ends where the utterance ends.": wanted[:-1],
                "The first run is missing: it begins where the utterance begins.": wanted[1:],
                "These are the codes of the runs; their lengths are wanted.": torch.unique_consecutive(codes),
                "You counted each code over the whole utterance. A code that comes back begins a new run.": together,
                "Each of your runs is one frame short: a run that never changes within is as long as its frames.": (
                    wanted - 1
                ),
                "These are the places where a run begins; their differences are the lengths.": torch.cumsum(wanted, 0)
                - wanted,
                "These are the places where a run ends; their differences are the lengths.": torch.cumsum(wanted, 0),
                "This is the mean length; each length by itself is wanted.": wanted.double().mean(),
            },
        )
        expect(got, wanted, f"The codes were {case}.")


def _counts(unused: bool, zeros: bool = True) -> Tensor:
    """(phones, codes) frames, as whole numbers in float: more codes than phones, every phone and, mostly, code met."""
    phones, codes = int(torch.randint(3, 6, ())), int(torch.randint(6, 9, ()))
    counts = torch.randint(0 if zeros else 1, 40, (phones, codes)).float()
    counts[torch.arange(codes) % phones, torch.arange(codes)] += 20
    counts[0] += 60 * (torch.arange(codes) % 3 == 0)  # one phone is common: shares and prior are far from even
    if unused:
        counts[:, int(torch.randint(codes, ()))] = 0
    return counts


def _entropy(counts: Tensor) -> Tensor:
    p = counts / counts.sum()
    return -torch.xlogy(p, p).sum()
