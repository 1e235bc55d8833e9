"""Wrong answers to notebook 01's exercises get told what is wrong; right ones, written another way, pass."""

import pytest
import torch
from answers import assert_refused

from w2v2_teach.course.exercises.waveform import check_alias, check_attention_mask, check_masked_normalize, check_mix
from w2v2_teach.speech.audio import normalize


def mask_of(lengths, length=None):
    return (torch.arange(length or int(lengths.max())) < lengths[:, None]).long()


def masked_normalize(x, mask, correct_variance=True, rezero=True):
    count = mask.sum(1, keepdim=True)
    centered = x - (x * mask).sum(1, keepdim=True) / count
    variance = (centered.square() * mask).sum(1, keepdim=True) / count
    if not correct_variance:
        variance = centered.square().mean(1, keepdim=True)
    y = centered / torch.sqrt(variance + 1e-7)
    return y * mask if rezero else y


def mix(speech, noise, snr_db, *, divisor=10, power=0.5, sign=1):
    ratio = speech.square().mean() / noise.square().mean() * 10 ** (-sign * snr_db / divisor)
    return speech + ratio**power * noise


RIGHT = [
    (check_alias, lambda f, rate: min(f % rate, rate - f % rate)),
    (check_attention_mask, lambda n: torch.nn.utils.rnn.pad_sequence([torch.ones(k).long() for k in n.tolist()], True)),
    (check_masked_normalize, masked_normalize),
    (check_mix, mix),
]
WRONG = [
    (check_alias, lambda f, _rate: f, "cannot stay what it is"),
    (check_alias, lambda f, rate: f % rate, "the one above"),
    (check_alias, lambda f, rate: f if f <= rate / 2 else abs(rate - f), "its other multiples"),
    (check_alias, lambda f, rate: f - rate * round(f / rate), "not negative"),
    (check_alias, lambda f, rate: min(f, rate / 2), "nearest multiple"),
    (check_attention_mask, lambda n: mask_of(n).T, "B rows"),
    (check_attention_mask, lambda n: 1 - mask_of(n), "upside down"),
    (check_attention_mask, lambda n: (torch.arange(int(n.max())) <= n[:, None]).long(), "not `<=`"),
    (check_attention_mask, lambda n: mask_of(n, int(n.max()) + 1), "positions 0 to L - 1"),
    (check_attention_mask, lambda n: mask_of(n).flip(1), "on the left"),
    (check_attention_mask, lambda n: mask_of(n).bool(), "torch.bool"),
    (check_attention_mask, lambda n: mask_of(n).tolist(), "list"),
    (check_attention_mask, lambda n: torch.ones(int(n.max())), "B rows"),
    (
        check_masked_normalize,
        lambda x, _mask: torch.stack([normalize(row) for row in x]),
        "mean and variance run over the padding",
    ),
    (
        check_masked_normalize,
        lambda x, m: torch.stack([normalize(row) for row in x]) * m,
        "mean and variance run over the padding",
    ),
    (
        check_masked_normalize,
        lambda x, m: masked_normalize(x, m, correct_variance=False),
        "the variance runs over the padding",
    ),
    (check_masked_normalize, lambda x, m: masked_normalize(x, m, rezero=False), "set it back to zero"),
    (check_masked_normalize, lambda x, m: (x - x[m.bool()].mean()) / x[m.bool()].std() * m, "each row has its own"),
    (check_masked_normalize, lambda x, m: (x - (x * m).sum(1, True) / m.sum(1, True)) * m, "standard deviation"),
    (check_mix, lambda s, n, db: mix(s, n, db) - s, "add the scaled noise"),
    (check_mix, lambda s, n, db: mix(s, n, db, power=1), "take its square root"),
    (check_mix, lambda s, n, db: mix(s, n, db, sign=-1), "turned round"),
    (check_mix, lambda s, n, db: s + 10 ** (-db / 20) * n, "how loud speech and noise were"),
    (check_mix, lambda s, n, db: mix(s, n, db, divisor=20), "you mixed the two"),
    (check_mix, lambda s, n, db: mix(s, n, db, divisor=5), "you mixed the two"),
    (check_mix, lambda s, n, db: mix(n, s, -db), "only the noise is scaled"),
    (check_mix, lambda s, n, _db: s + 3 * n, "has an SNR of"),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_right_answers_pass(check, answer):
    assert check(answer).state == "passed", check(answer)


@pytest.mark.parametrize(("check", "answer", "fragment"), WRONG)
def test_wrong_answers_are_told_what_is_wrong(check, answer, fragment):
    assert_refused(check, answer, fragment)


@pytest.mark.parametrize("check", [check for check, _ in RIGHT])
def test_stubs_errors_and_other_types_are_reported(check):
    def raises(*_args):
        raise RuntimeError("so what")

    assert check(lambda *_args: ...).state == "not attempted"
    assert_refused(check, raises, "raised RuntimeError: so what")
    assert_refused(check, lambda *_args: "a string", "str")
    assert_refused(check, lambda *_args: torch.zeros(3, 1, 4), "shape")


def test_rubbish_in_the_padding_must_not_leak():
    def trusts_zeros(x, mask):  # right only where the padding holds zeros
        count = mask.sum(1, keepdim=True)
        mean = x.sum(1, keepdim=True) / count
        variance = ((x - mean).square() * mask).sum(1, keepdim=True) / count
        return (x - mean) / torch.sqrt(variance + 1e-7) * mask

    assert_refused(check_masked_normalize, trusts_zeros, "other values leak")
