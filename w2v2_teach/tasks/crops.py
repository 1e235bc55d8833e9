"""The batches of pre-training: pieces of utterances of one or several corpora, faster or slower if asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from w2v2_teach.config import SAMPLE_RATE, Wav2Vec2Config
from w2v2_teach.feature_encoder import receptive_field
from w2v2_teach.speech.audio import change_speed
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.training.batches import UpdateBatches
from w2v2_teach.training.distributed import own_share
from w2v2_teach.training.settings import SettingsError

if TYPE_CHECKING:
    from w2v2_teach.tasks.pretraining import PretrainingSettings


class Crops(NamedTuple):
    """This process's share of the batch of one update."""

    input_values: Tensor  # (B, L), pieces of normalized waveforms, all of one length: no padding
    ids: list[str]  # B, the utterances they come from


class CropDataset(Dataset):
    """Item u is the batch of update u: utterances of similar length, each cropped at a place drawn anew.

    A batch is cropped to its shortest utterance, or to `crop_seconds`, so that nothing is padded (as in fairseq).
    Utterances with fewer than `min_frames` frames are left out, and so is an epoch's last, incomplete batch. Of several
    joined corpora each gives its share of every batch, and has epochs of its own.

    Raises:
        SettingsError: a corpus does not fill its rows of one batch, or a crop has fewer than `min_frames` frames.
    """

    def __init__(self, corpus: Corpus, config: Wav2Vec2Config, settings: PretrainingSettings, min_frames: int) -> None:
        self.settings = settings
        self.share = own_share(settings.batch_size)  # now: the loader's workers belong to no process group
        shortest = samples_for(config, min_frames)
        self.crop = round(settings.crop_seconds * SAMPLE_RATE)  # samples
        if self.crop < shortest:
            raise SettingsError(
                f"crop_seconds is {settings.crop_seconds}; it must be at least {shortest / SAMPLE_RATE:.3f}, "
                f"which makes {min_frames} frames."
            )
        self.parts = []
        for part, rows in zip(corpus.parts, rows_of_each(len(corpus.parts), settings), strict=True):
            utterances = [u for u in part if u.num_samples >= shortest * (1 + settings.speed)]
            if len(utterances) < rows:
                raise SettingsError(
                    f"{part.name} has {len(utterances)} utterances of {shortest / SAMPLE_RATE:.3f} s or more; "
                    f"batch_size={settings.batch_size} asks for more."
                )
            self.parts.append(UpdateBatches(utterances, replace(settings, batch_size=rows)))

    def __len__(self) -> int:
        return self.settings.updates

    def __getitem__(self, update: int) -> Crops:
        generator, speed = np.random.default_rng([self.settings.seed, update]), self.settings.speed
        drawn = [(part, index) for part in self.parts for index in part.indices(update)]  # B
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


def rows_of_each(corpora: int, settings: PretrainingSettings) -> list[int]:
    """How many rows of a batch each corpus gives: its share, to the nearest whole row; without shares, all the same.

    Raises:
        SettingsError: not one share for each corpus, or one that comes to no row.
    """
    shares = np.array(settings.shares or [1.0] * corpora)
    if len(shares) != corpora:
        raise SettingsError(
            f"shares={settings.shares} are {len(shares)}; it must be one for each of {corpora} corpora."
        )
    ends = np.rint(shares.cumsum() / shares.sum() * settings.batch_size).astype(int)  # where each corpus' rows end
    rows = np.diff(ends, prepend=0).tolist()
    if min(rows) < 1:
        raise SettingsError(f"shares={settings.shares} of batch_size={settings.batch_size} leave a corpus no row.")
    return rows
