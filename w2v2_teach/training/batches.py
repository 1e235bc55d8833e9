"""Which utterances belong to which update."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from w2v2_teach.speech.audio import AudioError, normalize
from w2v2_teach.speech.batching import LengthBucketBatchSampler
from w2v2_teach.speech.corpora import Corpus, Utterance
from w2v2_teach.speech.waveforms import map_waveforms
from w2v2_teach.training.interrupts import leave_process_group
from w2v2_teach.training.settings import SettingsError, TrainingSettings

# A corpus up to this length stays in memory once it has been read, half a gigabyte for 2 h; a longer one is mapped.
KEPT_HOURS = 2.0


class UpdateBatches:
    """Which utterances of a corpus belong to which update, and their waveforms.

    In an epoch every utterance comes once. What is over after the last whole batch is left out, or, with `fill`,
    filled up with utterances of that epoch's other batches.
    """

    def __init__(self, utterances: Sequence[Utterance], settings: TrainingSettings, fill: bool = False) -> None:
        self.utterances, self.settings, self.fill = utterances, settings, fill
        self._sampler = LengthBucketBatchSampler(
            [u.num_samples for u in utterances], settings.batch_size, settings.seed
        )
        self._epoch: tuple[int, list[list[int]]] = (-1, [])  # its number and its batches
        self._kept: dict[int, torch.Tensor] = {}  # waveforms that have been read
        too_long = sum(utterance.duration for utterance in utterances) > 3600 * KEPT_HOURS
        self._mapped = map_waveforms(utterances) if too_long else None

    def indices(self, update: int) -> list[int]:
        """The utterances of an update, those of all processes."""
        size = self.settings.batch_size
        whole, rest = divmod(len(self.utterances), size)
        epoch, position = divmod(update, whole + (self.fill and rest > 0))
        if self._epoch[0] != epoch:
            self._sampler.set_epoch(epoch)
            batches = list(self._sampler)
            if self.fill:
                generator = np.random.default_rng([self.settings.seed, epoch])
                for batch in batches:
                    others = np.setdiff1d(np.arange(len(self.utterances)), batch)
                    batch.extend(generator.choice(others, size - len(batch), replace=False).tolist())
            self._epoch = (epoch, [batch for batch in batches if len(batch) == size])
        return self._epoch[1][position]

    def waveform(self, index: int, start: int = 0, length: int | None = None) -> torch.Tensor:
        """(length,) a piece of an utterance, or all of it; the utterance is normalized as a whole."""
        piece = slice(start, None if length is None else start + length)
        if self._mapped is not None:
            return torch.from_numpy(self._mapped[index][piece].astype(np.float32))
        if index not in self._kept:
            self._kept[index] = normalize(self.utterances[index].waveform())
        return self._kept[index][piece]


class JointBatches(Dataset):
    """Item u is made of the utterances of update u; a subclass says which pieces of them are read.

    Of several corpora, each gives its share of every batch, and has epochs of its own.

    Raises:
        SettingsError: shares that fit no batch, or a corpus that does not fill its rows of one.
    """

    def __init__(self, corpora: Sequence[Corpus], settings: TrainingSettings, fill: bool = False) -> None:
        self.parts = []
        for corpus, rows in zip(corpora, rows_of_each(len(corpora), settings), strict=True):
            if len(corpus) < rows:
                raise SettingsError(
                    f"{corpus.name} has {len(corpus)} utterances; batch_size={settings.batch_size} asks for more."
                )
            self.parts.append(UpdateBatches(corpus, replace(settings, batch_size=rows), fill))
        self.settings = settings

    def __len__(self) -> int:
        return self.settings.updates

    def drawn(self, update: int) -> list[tuple[UpdateBatches, int]]:
        """The B utterances of an update, those of all processes: each by its corpus and its place in it."""
        return [(part, index) for part in self.parts for index in part.indices(update)]


def rows_of_each(corpora: int, settings: TrainingSettings) -> list[int]:
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


def background_loader(dataset: Dataset, updates: range, workers: int, pin_memory: bool) -> DataLoader:
    """The batches of these updates, read by so many processes; an `AudioError` in place of one that cannot be read."""
    return DataLoader(
        ErrorsAsItems(dataset),
        batch_size=None,  # an item is a batch
        sampler=updates,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=leave_process_group,
        pin_memory=pin_memory,
    )


class ErrorsAsItems(Dataset):
    """A dataset whose items are an `AudioError` where one was raised: a loader's worker would add its traceback."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except AudioError as error:
            return error
