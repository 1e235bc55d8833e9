"""Checks for notebook 01: aliases, attention masks, statistics behind a mask, and noise at a chosen level."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from w2v2_teach.course.exercises import Answer, Wrong, call, exercise, expect
from w2v2_teach.course.widgets.aliasing import alias_frequency
from w2v2_teach.speech.audio import normalize, pad_batch


@exercise("Right: every tone folds to its distance from the nearest multiple of the sampling rate.")
def check_alias(answer: Answer) -> None:
    """`answer(tone, sample_rate)` is the frequency in Hz that the samples of a tone show."""
    cases = [(1_000, 8_000), (4_000, 8_000), (20_500, 8_000), (7_000, 8_000), (9_000, 8_000), (8_000, 8_000)]
    cases += [(11_025, 16_000), (50_000, 16_000)]
    for tone, rate in cases:
        got, wanted = call(answer, tone, rate), alias_frequency(tone, rate)
        _expect_shape(got, wanted, "One frequency is wanted.")
        mistakes = [
            (got == tone, "Above half the rate a tone cannot stay what it is: a lower one has the same samples."),
            (got < 0, "A frequency is not negative: a cosine that runs backwards is the same cosine."),
            (got == tone % rate, "A remainder counts from the multiple below; the nearest one may be the one above."),
            (got == abs(rate - tone), "That is the distance to the rate itself; its other multiples count as well."),
        ]
        hint = _first(mistakes, "How far is the tone from the nearest multiple of the sampling rate?")
        expect(got, wanted, f"The tone was {tone} Hz, the rate {rate} Hz. {hint}")


@exercise("Right: one comparison of positions with lengths gives the whole mask.")
def check_attention_mask(answer: Answer) -> None:
    """`answer(lengths)` is the (B, L) long mask of a padded batch of utterances with (B,) `lengths`."""
    generator = torch.Generator().manual_seed(0)
    for lengths in (torch.tensor([3, 5]), torch.tensor([4]), torch.randint(1, 30, (6,), generator=generator)):
        got = call(answer, lengths)
        wanted = (torch.arange(int(lengths.max())) < lengths[:, None]).long()  # (B, L)
        shape = (
            "B rows, one for each utterance, and L columns, one for each sample of the longest: positions 0 to L - 1."
        )
        _expect_shape(got, wanted, shape)
        mask = torch.as_tensor(got).long()
        mistakes = [
            (mask.equal(1 - wanted), "It is upside down: 1 marks sound, 0 marks padding."),
            (
                mask.equal(wanted | wanted.roll(1, 1)),
                "A row has one 1 too many: positions count from 0, so `<`, not `<=`.",
            ),
            (mask.equal(wanted.flip(1)), "The padding stands on the left; here it comes after the sound."),
        ]
        hint = _first(mistakes, "A sample is sound where its position is below the length of its row.")
        expect(got, wanted, f"The lengths were {lengths.tolist()}. {hint}")
        if not isinstance(got, Tensor) or got.dtype != torch.long:
            kind = got.dtype if isinstance(got, Tensor) else type(got).__name__
            raise Wrong(f"The values are right, the type is {kind}: make it a tensor of torch.long, as pad_batch does.")


@exercise("Right: the same rows as pad_batch makes, whatever hides in the padding.")
def check_masked_normalize(answer: Answer) -> None:
    """`answer(x, mask)` normalizes each row of a padded batch (B, L) by the statistics of its sound alone."""
    generator = torch.Generator().manual_seed(0)
    for lengths in ([300, 500], [800], [700, 200, 450]):
        waveforms = [0.2 * torch.randn(n, generator=generator) + 0.05 * (i + 1) for i, n in enumerate(lengths)]
        wanted, mask = pad_batch(waveforms)
        x = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True)  # (B, L), zeros after the end
        got = call(answer, x, mask)
        _expect_shape(got, wanted, "It is that of x.")
        expect(got, wanted, _normalize_hint(torch.as_tensor(got), x, mask, wanted), atol=1e-4)
        rubbish = torch.where(mask.bool(), x, torch.tensor(7.0))
        hint = "With zeros in the padding it went well, other values leak: keep the padding out of both sums."
        expect(call(answer, rubbish, mask), wanted, hint, atol=1e-4)


def _normalize_hint(got: Tensor, x: Tensor, mask: Tensor, wanted: Tensor) -> str:
    """Which plausible mistake gives these values, wherever there is sound."""
    centered = x - (x * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)  # (B, L)
    sound = x[mask.bool()]  # all rows in one
    padded_variance = centered.square().mean(1, keepdim=True)  # (B, 1)

    def same(other: Tensor, atol: float = 1e-3) -> bool:
        return torch.allclose(got * mask, (other * mask).to(got.dtype), atol=atol)

    over_padding = "Your mean and variance run over the padding as well: divide by the number of 1s, not by L."
    mistakes = [
        (same(wanted), "The sound is right, the padding is not: set it back to zero."),
        (same(torch.stack([normalize(row) for row in x])), over_padding),
        (same(centered / padded_variance.sqrt()), "The mean is right; the variance runs over the padding as well."),
        (same((x - sound.mean()) / sound.std(), 1e-2), "One mean and variance for the batch: each row has its own."),
        (same(centered), "The mean is gone; now divide by the standard deviation."),
    ]
    return _first(mistakes, "Sum over the 1s of the mask, row by row: first for the mean, then the squared distances.")


@exercise("Right: power ratios go by 10·log10, amplitudes by 20·log10, and you kept the two apart.")
def check_mix(answer: Answer) -> None:
    """`answer(speech, noise, snr_db)` is speech plus noise, scaled so that their powers are `snr_db` apart."""
    generator = torch.Generator().manual_seed(0)
    for snr_db, loudness in ((0.0, 0.8), (20.0, 0.3), (-6.0, 2.0), (10.0, 0.05)):
        speech = 0.4 * torch.randn(4_000, generator=generator)
        noise = loudness * torch.randn(4_000, generator=generator)
        gain = (speech.square().mean() / noise.square().mean() / 10 ** (snr_db / 10)).sqrt()
        got = call(answer, speech, noise, snr_db)
        wanted = speech + gain * noise  # (L,)
        _expect_shape(got, wanted, "The mixture is as long as the speech.")
        expect(got, wanted, _mix_hint(torch.as_tensor(got), speech, noise, snr_db), atol=1e-4)


def _mix_hint(mixed: Tensor, speech: Tensor, noise: Tensor, snr_db: float) -> str:
    """Which plausible mistake leads to the gain that the noise was given."""
    if (speech @ mixed).abs() < 0.2 * (speech @ speech):
        return "That is noise alone: add the scaled noise to the speech."
    added = mixed - speech  # (L,)
    used = float((added @ noise) / (noise @ noise))
    if not torch.allclose(added, used * noise, atol=1e-3):
        return "Leave the speech as it is: only the noise is scaled."
    levels = float((speech.square().mean() / noise.square().mean()).sqrt())  # ratio of amplitudes
    gain = levels * 10 ** (-snr_db / 20)
    by_10_and_20 = "10·log10 belongs to ratios of powers, 20·log10 to ratios of amplitudes: you mixed the two."
    mistakes = [
        (gain**2, "You scaled the amplitude by a ratio of powers: take its square root."),
        (levels * 10 ** (snr_db / 20), "The sign is turned round: more dB means less noise."),
        (10 ** (-snr_db / 20), "You forgot how loud speech and noise were to begin with: measure their powers."),
        (levels * 10 ** (-snr_db / 10), by_10_and_20),
        (levels * 10 ** (-snr_db / 40), by_10_and_20),
    ]
    reached = 10 * math.log10(float(speech.square().mean() / added.square().mean().clamp(min=1e-20)))
    missed = f"Your mixture has an SNR of {reached:.1f} dB, wanted are {snr_db:g} dB."
    return _first(((math.isclose(used, wrong, rel_tol=1e-3), hint) for wrong, hint in mistakes), missed)


def _expect_shape(got: Any, wanted: Any, hint: str) -> None:
    """Numbers of the wanted shape, whatever their values (NaN aside)."""
    expect(got, wanted, hint, atol=math.inf)


def _first(mistakes: Iterable[tuple[bool, str]], otherwise: str) -> str:
    """The hint for the first mistake that was made."""
    return next((hint for made, hint in mistakes if made), otherwise)
