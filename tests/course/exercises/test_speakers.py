"""The checks of notebook 12 refuse plausible mistakes, each with its own words, and pass what is right."""

import numpy as np
import torch
from answers import AnswerTests
from torch.nn import functional as F

from w2v2_teach import heads, losses
from w2v2_teach.analysis.information import verification
from w2v2_teach.course.exercises import speakers as checks


def margin_logits(cosine, labels, margin, scale):
    own = F.one_hot(labels, cosine.shape[1]).bool()
    return scale * torch.where(own, (cosine.acos() + margin).cos(), cosine)


def by_index(cosine, labels, margin, scale):
    logits, rows = cosine.clone(), torch.arange(len(labels))
    logits[rows, labels] = (cosine[rows, labels].acos() + margin).cos()
    return scale * logits


def others(cosine, labels, margin, scale):
    own = F.one_hot(labels, cosine.shape[1]).bool()
    return scale * torch.where(own, cosine, (cosine.acos() + margin).cos())


def cosface(cosine, labels, margin, scale):
    return scale * (cosine - margin * F.one_hot(labels, cosine.shape[1]))


def angles(cosine, labels, margin, scale):
    return scale * (cosine.acos() + margin * F.one_hot(labels, cosine.shape[1]))


def only_own_scaled(cosine, labels, margin, scale):
    return torch.where(F.one_hot(labels, cosine.shape[1]).bool(), margin_logits(cosine, labels, margin, scale), cosine)


def statistics(x, mask):
    count = mask.sum(dim=1)[:, None]  # (B, 1)
    real = mask[:, :, None]  # (B, T, 1)
    mean = (x * real).sum(dim=1) / count  # (B, D)
    variance = ((x - mean[:, None]) ** 2 * real).sum(dim=1) / count
    return torch.cat([mean, variance.sqrt()], dim=1)


def with_padding(x, _mask):
    return torch.cat([x.mean(dim=1), x.std(dim=1, correction=0)], dim=1)


def zeros_counted(x, mask):
    return with_padding(x * mask[:, :, None], mask)


def halves(x, mask):
    return statistics(x, mask).chunk(2, dim=1)


def root_mean_square(x, mask):
    mean, deviation = halves(x, mask)
    return torch.cat([mean, (mean**2 + deviation**2).sqrt()], dim=1)


def unbiased(x, mask):
    rows = [row[real] for row, real in zip(x, mask, strict=True)]
    return torch.stack([torch.cat([row.mean(0), row.std(0)]) for row in rows])


def errors_at(scores, is_same, threshold):
    accepted = scores >= threshold
    return accepted[~is_same].float().mean(), (~accepted)[is_same].float().mean()


def strictly(scores, is_same, threshold):
    accepted = scores > threshold
    return accepted[~is_same].float().mean(), (~accepted)[is_same].float().mean()


def of_all(scores, is_same, threshold):
    accepted = scores >= threshold
    return (accepted & ~is_same).float().mean(), (~accepted & is_same).float().mean()


def counts(scores, is_same, threshold):
    accepted = scores >= threshold
    return (accepted & ~is_same).sum(), (~accepted & is_same).sum()


def of_the_decided(scores, is_same, threshold):
    accepted = scores >= threshold
    return (~is_same)[accepted].float().mean(), is_same[~accepted].float().mean()


def mix(states, layer_weights):
    return (states * layer_weights.softmax(dim=0)[:, None, None, None]).sum(dim=0)


def summed(states, weights):
    return torch.einsum("lbtd,l->btd", states, weights)


SOLUTIONS = [
    (checks.check_margin_logits, margin_logits),
    (checks.check_margin_logits, by_index),
    (checks.check_statistics, statistics),
    (checks.check_errors_at, errors_at),
    (checks.check_mix, mix),
    (checks.check_mix, lambda s, w: summed(s, w.softmax(0))),
]

WRONG = [
    (checks.check_margin_logits, lambda c, _, m, s: s * (c.acos() + m).cos(), "you gave it to all"),
    (checks.check_margin_logits, others, "every class but the own one"),
    (checks.check_margin_logits, lambda c, y, m, s: margin_logits(c, y, -m, s), "made the angle smaller"),
    (checks.check_margin_logits, cosface, "CosFace"),
    (checks.check_margin_logits, lambda c, y, m, _: margin_logits(c, y, m, 1), "Multiply by s"),
    (checks.check_margin_logits, lambda c, y, _, s: margin_logits(c, y, 0, s), "without a margin"),
    (checks.check_margin_logits, angles, "These are angles"),
    (checks.check_margin_logits, only_own_scaled, "every logit is multiplied"),
    (checks.check_margin_logits, lambda c, y, m, s: margin_logits(c, y, m, s)[0], "shape"),
    (checks.check_statistics, with_padding, "use the mask"),
    (checks.check_statistics, zeros_counted, "Padding counts as zeros"),
    (checks.check_statistics, lambda x, m: torch.cat([halves(x, m)[0], halves(x, m)[1] ** 2], 1), "variance"),
    (checks.check_statistics, unbiased, "not by one less"),
    (checks.check_statistics, lambda x, m: torch.cat(halves(x, m)[::-1], 1), "Mean first"),
    (checks.check_statistics, lambda x, m: halves(x, m)[0], "Only the mean"),
    (checks.check_statistics, root_mean_square, "subtract the mean first"),
    (checks.check_errors_at, lambda *args: errors_at(*args)[::-1], "False accepts first"),
    (checks.check_errors_at, strictly, "equals the threshold"),
    (checks.check_errors_at, of_all, "divided by all pairs"),
    (checks.check_errors_at, counts, "counts"),
    (checks.check_errors_at, of_the_decided, "divided by the accepted"),
    (checks.check_errors_at, lambda *args: [1 - e for e in errors_at(*args)], "right decisions"),
    (checks.check_errors_at, lambda *args: errors_at(*args)[0], "shape"),
    (checks.check_mix, summed, "used as they are"),
    (checks.check_mix, lambda s, _: s.mean(dim=0), "where are the weights"),
    (checks.check_mix, lambda s, w: mix(s, w) / len(w), "averaged over the layers"),
    (checks.check_mix, lambda s, w: summed(s, w.exp()), "not divided by their sum"),
    (checks.check_mix, lambda s, w: s[int(w.argmax())], "one layer with the largest"),
    (checks.check_mix, lambda s, w: s * w.softmax(0)[:, None, None, None], "not added up"),
    (checks.check_mix, lambda s, w: summed(s, w / w.sum()), "may still be negative"),
]


class TestAnswers(AnswerTests):
    SOLUTIONS, WRONG = SOLUTIONS, WRONG


def test_the_solutions_agree_with_the_package():
    x, w, labels = torch.randn(9, 5), torch.randn(4, 5), torch.randint(4, (9,))
    cosine = F.normalize(x) @ F.normalize(w).T
    ours = losses.arcface_logits(x, w, labels, 0.1, 10.0)
    safe = cosine.gather(1, labels[:, None])[:, 0] > -0.9
    torch.testing.assert_close(margin_logits(cosine, labels, 0.1, 10.0)[safe], ours[safe], atol=1e-4, rtol=0)
    frames, mask = torch.randn(3, 8, 4), torch.arange(8) < torch.tensor([8, 5, 3])[:, None]
    torch.testing.assert_close(statistics(frames, mask), heads.statistics_pooling(frames, mask), atol=1e-4, rtol=0)
    scores, is_same = torch.randn(40), torch.rand(40) < 0.4
    trials = verification.Trials(scores.numpy(), is_same.numpy())
    np.testing.assert_allclose(errors_at(scores, is_same, 0.2), verification.error_rates_at(trials, 0.2), atol=1e-6)
