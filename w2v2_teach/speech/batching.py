"""Utterances become batches: which of them share one, and how their waveforms are stacked."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from w2v2_teach.checkpoints import Pretrained
from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.speech.audio import pad_batch
from w2v2_teach.speech.corpora import Corpus, Utterance

JITTER = 0.05  # how far, relative to its length, an utterance may stray among its neighbors
BATCH_SIZE = 16  # utterances at once where nothing is trained

Measured = TypeVar("Measured")


class Batch(NamedTuple):
    """What a model reads at once, and where it came from."""

    input_values: torch.Tensor  # (B, L) float32, each row normalized, zeros after its end
    attention_mask: torch.Tensor  # (B, L) long, 1 where there is sound
    utterances: tuple[Utterance, ...]  # B

    @property
    def ids(self) -> list[str]:
        """The utterances by name."""
        return [utterance.id for utterance in self.utterances]


def collate(utterances: Sequence[Utterance]) -> Batch:
    """Load, normalize and pad B utterances: the `collate_fn` of a DataLoader over a `Corpus`."""
    return Batch(*pad_batch([utterance.waveform() for utterance in utterances]), tuple(utterances))


class LengthBucketBatchSampler(Sampler[list[int]]):
    """Batches of utterances of similar length, so that little is padded: the `batch_sampler` of a DataLoader.

    Every index comes once per epoch. With `shuffle`, the batches come in random order, and their members change from
    epoch to epoch because lengths are blurred by up to `JITTER` before they are sorted. The same seed and epoch give
    the same batches.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int = 0, shuffle: bool = True):
        """`lengths` in any unit; raises ValueError for a batch size below 1."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, not {batch_size}")
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Call before each epoch, else every epoch has the batches of epoch 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self.lengths) / self.batch_size)  # the one that holds the longest may be smaller

    def __iter__(self) -> Iterator[list[int]]:
        lengths = self.lengths
        generator = np.random.default_rng([self.seed, self.epoch])
        if self.shuffle:
            lengths = lengths * generator.uniform(1 - JITTER, 1 + JITTER, len(lengths))
        order = np.argsort(lengths, kind="stable").tolist()
        batches = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        if self.shuffle:
            generator.shuffle(batches)
        yield from batches


def padded_batches(corpus: Corpus, config: Wav2Vec2Config) -> Iterator[Batch]:
    """The whole corpus once, in batches of utterances of similar length: to measure on.

    Group norm (BASE) takes its mean and variance over padding as well: there, an utterance comes alone, so that what
    is measured does not depend on its neighbors.
    """
    lengths = [utterance.num_samples for utterance in corpus]
    alone = config.feat_extract_norm == "group"
    sampler = LengthBucketBatchSampler(lengths, 1 if alone else BATCH_SIZE, shuffle=False)
    loader: DataLoader[Batch] = DataLoader(corpus, batch_sampler=sampler, collate_fn=collate)  # type: ignore[arg-type]  # a sequence will do
    return iter(loader)


def batches_for(model: Pretrained, corpus: Corpus) -> Iterator[Batch]:
    """`padded_batches` on the model's device, for a model that is put in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    for batch in padded_batches(corpus, model.config):
        yield Batch(batch.input_values.to(device), batch.attention_mask.to(device), batch.utterances)


@torch.no_grad()
def for_each_utterance(
    model: Pretrained, corpus: Corpus, measure: Callable[[torch.Tensor, torch.Tensor], Iterable[Measured]]
) -> list[Measured]:
    """What `measure` finds for every utterance, in the order of the corpus; leaves the model in evaluation mode.

    Args:
        model: on whose device the batches are put.
        corpus: to measure on.
        measure: input_values (B, L) and attention_mask (B, L) → B results.
    """
    found: dict[str, Measured] = {}
    for batch in batches_for(model, corpus):
        found |= dict(zip(batch.ids, measure(batch.input_values, batch.attention_mask), strict=True))
    return [found[utterance.id] for utterance in corpus]
