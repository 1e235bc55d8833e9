"""The checks of notebook 08 refuse plausible mistakes, each with its own words, and pass what is right."""

import numpy as np
import torch
from answers import AnswerTests

from w2v2_teach.analysis import codebooks
from w2v2_teach.analysis import information as package
from w2v2_teach.course.exercises import codebook as checks


def conditional(counts):
    return counts / counts.sum(0).clamp(min=1)


def entropy(counts):
    p = counts / counts.sum()
    return -torch.xlogy(p, p).sum()


def information(counts):
    return entropy(counts.sum(1)) + entropy(counts.sum(0)) - entropy(counts)


def pnmi(counts):
    return information(counts) / entropy(counts.sum(1))


def shrunk(counts, m):
    prior = counts.sum(1, keepdim=True) / counts.sum()
    return (counts + m * prior) / (counts.sum(0) + m)


def dwell_times(codes):
    ends = (codes[1:] != codes[:-1]).nonzero()[:, 0] + 1
    return torch.diff(torch.cat([torch.tensor([0]), ends, torch.tensor([len(codes)])]))


def naive_entropy(counts):
    p = counts / counts.sum()
    return -(p * p.log()).sum()


def naive_pnmi(counts):
    phones = naive_entropy(counts.sum(1))
    return (phones + naive_entropy(counts.sum(0)) - naive_entropy(counts)) / phones


SOLUTIONS = [
    (checks.check_conditional, conditional),
    (checks.check_pnmi, pnmi),
    (checks.check_shrunk, shrunk),
    (checks.check_dwell_times, dwell_times),
]

WRONG = [
    (checks.check_conditional, lambda c: c / c.sum(0), "0 / 0"),
    (checks.check_conditional, lambda c: c / c.sum(1, keepdim=True), "P(code | phone)"),
    (checks.check_conditional, lambda c: c / c.sum(), "P(phone, code)"),
    (checks.check_conditional, lambda c: conditional(c).T, "along the rows"),
    (checks.check_conditional, lambda c: c / c.amax(0).clamp(min=1), "largest count"),
    (checks.check_conditional, lambda c: c.softmax(0), "not logits"),
    (checks.check_conditional, lambda c: c / (c.sum(0) + 1), "plus one"),
    (checks.check_conditional, lambda c: conditional(c)[0], "shape"),
    (checks.check_pnmi, information, "in nats; divide"),
    (checks.check_pnmi, lambda c: information(c) / np.log(2), "in bits"),
    (checks.check_pnmi, lambda c: information(c) / entropy(c.sum(0)), "entropy of the codes"),
    (checks.check_pnmi, lambda c: information(c) / entropy(c), "joint entropy"),
    (checks.check_pnmi, lambda c: 2 * information(c) / (entropy(c.sum(0)) + entropy(c.sum(1))), "mean of both"),
    (checks.check_pnmi, lambda c: 1 - pnmi(c), "1 minus"),
    (checks.check_pnmi, lambda c: entropy(c) - entropy(c.sum(0)), "remains unknown, in nats"),
    (checks.check_pnmi, naive_pnmi, "0 · log 0"),
    (checks.check_pnmi, lambda c: pnmi(c) / 3, "wanted is"),
    (checks.check_shrunk, lambda c, m: shrunk(c, m) * (c.sum(0) + m) / c.sum(0).clamp(min=1), "add up to 1"),
    (checks.check_shrunk, lambda c, m: (c + m) / (c + m).sum(0), "m frames in all"),
    (checks.check_shrunk, lambda c, m: (c + m / len(c)) / (c.sum(0) + m), "evenly"),
    (checks.check_shrunk, lambda c, _: conditional(c), "are missing"),
    (checks.check_shrunk, lambda c, _: shrunk(c, 1.0), "P(phone) once"),
    (
        checks.check_shrunk,
        lambda c, m: (c + m * conditional(c).mean(1, keepdim=True)) / (c.sum(0) + m),
        "rare codes count",
    ),
    (checks.check_shrunk, lambda c, m: shrunk(c, 2 * m), "n(phone, code)"),
    (checks.check_dwell_times, lambda c: dwell_times(c)[:-1], "last run"),
    (checks.check_dwell_times, lambda c: dwell_times(c)[1:], "first run"),
    (checks.check_dwell_times, torch.unique_consecutive, "codes of the runs"),
    (checks.check_dwell_times, lambda c: torch.unique(c, return_counts=True)[1], "comes back"),
    (checks.check_dwell_times, lambda c: dwell_times(c) - 1, "one frame short"),
    (checks.check_dwell_times, lambda c: dwell_times(c).cumsum(0) - dwell_times(c), "begins; their differences"),
    (checks.check_dwell_times, lambda c: dwell_times(c).cumsum(0), "ends; their differences"),
    (checks.check_dwell_times, lambda c: dwell_times(c).double().mean(), "mean length"),
    (checks.check_dwell_times, lambda c: dwell_times(c) + 2, "wanted is"),
]


class TestAnswers(AnswerTests):
    SOLUTIONS, WRONG = SOLUTIONS, WRONG


def test_the_solutions_agree_with_the_package():
    counts = torch.randint(0, 9, (5, 12)).float()
    counts[:, 3] = 0
    table = codebooks.conditional(counts.numpy().astype(int)).p
    np.testing.assert_allclose(conditional(counts), np.nan_to_num(table), atol=1e-6)
    assert abs(pnmi(counts) - package.phone_normalized_mutual_information(counts.numpy())) < 1e-5
    codes = torch.randint(3, (40,))
    np.testing.assert_array_equal(dwell_times(codes), codebooks.dwell_times([codes.numpy()]))


def test_shrunk_shares_lie_between_the_average_and_what_was_counted():
    counts = torch.tensor([[3.0, 0.0, 300.0], [0.0, 0.0, 0.0], [100.0, 0.0, 400.0]])
    average = counts.sum(1) / counts.sum()
    torch.testing.assert_close(shrunk(counts, 10.0)[:, 1], average)  # nothing was counted: the average remains
    torch.testing.assert_close(shrunk(counts, 1e-6)[:, 0], conditional(counts)[:, 0], atol=1e-5, rtol=0)
