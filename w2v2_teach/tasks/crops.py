"""The batches of pre-training and of fine-tuning: utterances of one or several corpora, or pieces of them."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from w2v2_teach.config import SAMPLE_RATE, Wav2Vec2Config
from w2v2_teach.feature_encoder import receptive_field
from w2v2_teach.speech.audio import change_speed, narrowband, pad_batch
from w2v2_teach.speech.batching import Batch
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.tasks.settings import FinetuningSettings, PretrainingSettings
from w2v2_teach.training.batches import JointBatches
from w2v2_teach.training.distributed import own_share
from w2v2_teach.training.settings import SettingsError


class Crops(NamedTuple):
    """This process's share of the batch of one update."""

    input_values: Tensor  # (B, L), pieces of normalized waveforms, all of one length: no padding
    ids: list[str]  # B, the utterances they come from


class CropDataset(JointBatches):
    """Item u is the batch of update u: utterances of similar length, each cropped at a place drawn anew.

    A batch is cropped to its shortest utterance, or to `crop_seconds`, so that nothing is padded (as in fairseq).
    Utterances with fewer than `min_frames` frames are left out, and so is an epoch's last, incomplete batch.

    Raises:
        SettingsError: as for `JointBatches`, or a crop has fewer than `min_frames` frames.
    """

    settings: PretrainingSettings

    def __init__(self, corpus: Corpus, config: Wav2Vec2Config, settings: PretrainingSettings, min_frames: int) -> None:
        self.share = own_share(settings.batch_size)  # now: the loader's workers belong to no process group
        shortest = samples_for(config, min_frames)
        self.crop = round(settings.crop_seconds * SAMPLE_RATE)  # samples
        if self.crop < shortest:
            raise SettingsError(
                f"crop_seconds is {settings.crop_seconds}; it must be at least {shortest / SAMPLE_RATE:.3f}, "
                f"which makes {min_frames} frames."
            )
        least, rule = shortest * (1 + settings.speed), f"({shortest / SAMPLE_RATE:.3f} s or more)"
        super().__init__(
            [Corpus(f"{part.name} {rule}", (u for u in part if u.num_samples >= least)) for part in corpus.parts],
            settings,
        )

    def __getitem__(self, update: int) -> Crops:
        drawn = self.drawn(update)  # B
        generator, speed = np.random.default_rng([self.settings.seed, update]), self.settings.speed
        samples = [part.utterances[i].num_samples for part, i in drawn]  # B
        length = min(self.crop, int(min(samples) / (1 + speed)))  # L
        factors = generator.uniform(1 - speed, 1 + speed, len(drawn)) if speed else np.ones(len(drawn))  # (B,)
        cuts = np.rint(length * factors).astype(int)  # (B,) samples that become L when they are played faster or slower
        starts = [generator.integers(n - cut + 1) for n, cut in zip(samples, cuts, strict=True)]
        own = list(zip(drawn, starts, cuts, factors, strict=True))[self.share]
        crops = [part.waveform(i, start, cut) for (part, i), start, cut, _ in own]
        if speed:  # the resampler's length may be one short
            faster = (change_speed(crop, factor) for crop, (*_, factor) in zip(crops, own, strict=True))
            crops = [nn.functional.pad(crop, (0, 1))[:length] for crop in faster]
        return Crops(torch.stack(crops), [part.utterances[i].id for (part, i), *_ in own])


def samples_for(config: Wav2Vec2Config, frames: int) -> int:
    """The length in samples of the shortest waveform from which the feature encoder makes so many frames."""
    field = receptive_field(config)[-1]
    return field.samples + (frames - 1) * field.hop


class LabeledBatches(JointBatches):
    """Item u is the batch of update u, the rows of all processes: utterances of similar length of each corpus, padded.

    With `crop_seconds`, no more of an utterance is heard than that, from a place drawn anew. With `speed`, it is faster
    or slower every time, and thus higher or lower, as if by other speakers. With `narrowband`, some as by telephone.
    """

    settings: FinetuningSettings

    def __getitem__(self, update: int) -> Batch:
        drawn = self.drawn(update)  # B
        turns = np.concatenate([(np.arange(n) + 0.5) / n for n in (part.settings.batch_size for part in self.parts)])
        drawn = [drawn[row] for row in turns.argsort(kind="stable")]  # corpora take turns: every process gets of each
        utterances = [part.utterances[i] for part, i in drawn]
        seconds = self.settings.crop_seconds
        crop = max(u.num_samples for u in utterances) if seconds is None else round(seconds * SAMPLE_RATE)
        generator = np.random.default_rng([self.settings.seed, update])
        starts = [int(generator.integers(max(0, u.num_samples - crop) + 1)) for u in utterances]
        pieces = [part.waveform(i, start, crop) for (part, i), start in zip(drawn, starts, strict=True)]
        if self.settings.speed > 0:
            generator = np.random.default_rng([self.settings.seed, update, 1])
            factors = generator.choice(speeds(self.settings.speed), len(pieces))
            pieces = [change_speed(x, f) for x, f in zip(pieces, factors, strict=True)]
        if self.settings.narrowband > 0:
            low = np.random.default_rng([self.settings.seed, update, 2]).random(len(pieces)) < self.settings.narrowband
            pieces = [narrowband(x) if is_low else x for x, is_low in zip(pieces, low, strict=True)]
        return Batch(*pad_batch(pieces), tuple(utterances))


def speeds(spread: float) -> np.ndarray:
    """Slower, as it is, faster: few, so that a memory of what a frozen encoder made of each utterance has a chance."""
    return np.linspace(1 - spread, 1 + spread, 3)
