"""Exercises of notebook 01: aliases, attention masks, statistics behind a mask, and noise at a chosen level."""

import torch
from torch import Tensor

from w2v2_teach.course.exercises import Answer, Exercise, Mistake, not_a_tensor_of, same
from w2v2_teach.speech.audio import alias_frequency, normalize, pad_batch

check_alias = Exercise(
    solution=alias_frequency,
    cases=lambda: [
        (1_000, 8_000), (4_000, 8_000), (20_500, 8_000), (7_000, 8_000), (9_000, 8_000), (8_000, 8_000),
        (11_025, 16_000), (50_000, 16_000),
    ],
    passed="Right: every tone folds to its distance from the nearest multiple of the sampling rate.",
    hint="How far is the tone from the nearest multiple of the sampling rate?",
    mistakes={
        "Above half the rate a tone cannot stay what it is: a lower one has the same samples.": lambda tone, _: tone,
        "A frequency is not negative: a cosine that runs backwards is the same cosine.": Mistake(
            lambda tone, rate: tone - rate * round(tone / rate),
            lambda got, *_: isinstance(got, int | float) and got < 0,
        ),
        "A remainder counts from the multiple below; the nearest one may be the one above.":
            lambda tone, rate: tone % rate,
        "That is the distance to the rate itself; its other multiples count as well.":
            lambda tone, rate: abs(rate - tone),
        "A tone above half the rate does not stop there: it folds back.": lambda tone, rate: min(tone, rate / 2),
    },
)  # fmt: skip


def mask_of(lengths: Tensor) -> Tensor:
    """The attention mask (B, L) of a padded batch of utterances with lengths (B,): 1 for audio, 0 for padding."""
    return (torch.arange(int(lengths.max())) < lengths[:, None]).long()


check_attention_mask = Exercise(
    solution=mask_of, cases=lambda: [(torch.tensor([3, 5]),), (torch.tensor([4]),), (torch.randint(1, 30, (6,)),)],
    passed="Right: one comparison of positions with lengths gives the whole mask.",
    hint="B rows, one for each utterance, and L columns, one for each sample of the longest: positions 0 to L - 1. A "
    "sample is audio where its position is below the length of its row.",
    mistakes={
        "It is upside down: 1 marks audio, 0 marks padding.": lambda lengths: 1 - mask_of(lengths),
        "A row has one 1 too many: positions count from 0, so `<`, not `<=`.":
            lambda lengths: (torch.arange(int(lengths.max())) <= lengths[:, None]).long(),
        "The padding stands on the left; here it comes after the audio.": lambda lengths: mask_of(lengths).flip(1),
        "Rows and columns have changed places: one row for each utterance.": lambda lengths: mask_of(lengths).T,
        "One column too many: L columns are positions 0 to L - 1.":
            lambda lengths: (torch.arange(int(lengths.max()) + 1) < lengths[:, None]).long(),
        "The values are right, the type is not: make it a tensor of torch.long, as pad_batch does.": Mistake(
            lambda lengths: mask_of(lengths).bool(),
            lambda got, lengths: same(got, mask_of(lengths)) and not_a_tensor_of(torch.long)(got),
        ),
    },
)  # fmt: skip


def _masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    return (x * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)  # (B, 1)


def _centered(x: Tensor, mask: Tensor) -> Tensor:
    return x - _masked_mean(x, mask)  # (B, L)


def masked_normalize(x: Tensor, mask: Tensor) -> Tensor:
    """Each row of a padded batch x (B, L), normalized by the statistics of its audio alone, as pad_batch does."""
    return pad_batch([row[audio.bool()] for row, audio in zip(x, mask, strict=True)])[0]


def _trusts_zeros(x: Tensor, mask: Tensor) -> Tensor:
    centered = x - x.sum(1, keepdim=True) / mask.sum(1, keepdim=True)
    return centered / (_masked_mean(centered.square(), mask) + 1e-7).sqrt() * mask


def _batches() -> list[tuple[Tensor, Tensor]]:
    """Padded batches with zeros behind the audio, then with other values there."""
    cases = []
    for lengths in ([300, 500], [800], [700, 200, 450]):
        mask = mask_of(torch.tensor(lengths))  # (B, L)
        x = (0.2 * torch.randn(mask.shape) + 0.05 * (1 + torch.arange(len(mask)))[:, None]) * mask
        cases += [(x, mask), (x + 7 * (1 - mask), mask)]
    return cases


def _on_audio(answer: Answer) -> Mistake:
    """A mistake known by what it gives for the audio, whatever stands in the padding."""

    def sign(got: object, x: Tensor, mask: Tensor) -> bool:
        if not isinstance(got, Tensor) or got.shape != x.shape or same(got, masked_normalize(x, mask), atol=1e-4):
            return False
        return same(got * mask, answer(x, mask) * mask, atol=1e-2)

    return Mistake(answer, sign)


check_masked_normalize = Exercise(
    solution=masked_normalize, cases=_batches, atol=1e-4,
    passed="Right: the same rows as pad_batch makes, whatever hides in the padding.",
    hint="Sum over the 1s of the mask, row by row: first for the mean, then the squared distances.",
    mistakes={
        "The audio is right, the padding is not: set it back to zero.":
            lambda x, mask: _centered(x, mask) / (_masked_mean(_centered(x, mask).square(), mask) + 1e-7).sqrt(),
        "Your mean and variance run over the padding as well: divide by the number of 1s, not by L.":
            _on_audio(lambda x, _: torch.stack([normalize(row) for row in x])),
        "The mean is right; the variance runs over the padding as well.":
            _on_audio(lambda x, mask: _centered(x, mask) / _centered(x, mask).square().mean(1, keepdim=True).sqrt()),
        "One mean and variance for the batch: each row has its own.":
            _on_audio(lambda x, mask: (x - x[mask.bool()].mean()) / x[mask.bool()].std()),
        "The mean is gone; now divide by the standard deviation.": _on_audio(_centered),
        "With zeros in the padding it went well, other values leak: keep the padding out of both sums.": _trusts_zeros,
    },
)  # fmt: skip


def _gained(speech: Tensor, noise: Tensor, decibels: float, power: float = 0.5) -> Tensor:
    """Speech plus noise, its gain from the ratio of the powers lowered by so many decibels."""
    ratio = speech.square().mean() / noise.square().mean() * 10 ** (-decibels / 10)
    return speech + ratio**power * noise


def mix(speech: Tensor, noise: Tensor, snr_db: float) -> Tensor:
    """Speech (L,) plus noise (L,), scaled so that their powers are `snr_db` decibels apart."""
    return _gained(speech, noise, snr_db)


check_mix = Exercise(
    solution=mix,
    cases=lambda: [
        (0.4 * torch.randn(4_000), loudness * torch.randn(4_000), snr_db)
        for snr_db, loudness in ((0.0, 0.8), (20.0, 0.3), (-6.0, 2.0), (10.0, 0.05))
    ],
    atol=1e-4,
    passed="Right: power ratios go by 10·log10, amplitudes by 20·log10, and you kept the two apart.",
    hint="Measure it: 10·log10 of the power of the speech over that of the scaled noise must give the SNR.",
    mistakes={
        "That is noise alone: add the scaled noise to the speech.": lambda s, n, db: mix(s, n, db) - s,
        "Leave the speech as it is: only the noise is scaled.": lambda s, n, db: mix(n, s, -db),
        "You scaled the amplitude by a ratio of powers: take its square root.":
            lambda s, n, db: _gained(s, n, db, power=1),
        "The sign is turned round: more dB means less noise.": lambda s, n, db: mix(s, n, -db),
        "You forgot how loud speech and noise were to begin with: measure their powers.":
            lambda s, n, db: s + 10 ** (-db / 20) * n,
        "20·log10 belongs to ratios of amplitudes; you used it with powers.": lambda s, n, db: mix(s, n, db / 2),
        "10·log10 belongs to ratios of powers; you used it with amplitudes.": lambda s, n, db: mix(s, n, 2 * db),
    },
)  # fmt: skip
