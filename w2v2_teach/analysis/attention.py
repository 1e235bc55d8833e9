"""What attention weights look like in numbers, and what a head is worth: by taking it away.

Functions of `weights` take any (..., T, T), queries down and keys across, each row adding up to 1, of real frames only:
`attention_maps` cuts the padding off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.feature_encoder import receptive_field
from w2v2_teach.losses import contrastive_logits, contrastive_loss, sample_negatives
from w2v2_teach.masking import time_mask
from w2v2_teach.model import Wav2Vec2ForPreTraining, Wav2Vec2Model
from w2v2_teach.speech.batching import for_each_utterance
from w2v2_teach.speech.corpora import Corpus

TYPES = ("global", "vertical", "diagonal")


def attention_maps(model: Wav2Vec2Model, corpus: Corpus) -> list[np.ndarray]:
    """The weights of each utterance, (layers, H, T, T), nothing masked; leaves the model in evaluation mode."""

    def real_frames(x: Tensor, attention_mask: Tensor) -> list[np.ndarray]:
        output = model(x, attention_mask, output_attentions=True)
        stacked = torch.stack(output.attentions, dim=1).cpu().numpy()  # (B, layers, H, T, T)
        lengths = output.frame_mask.sum(dim=1).tolist()
        return [weights[:, :, :T, :T] for weights, T in zip(stacked, lengths, strict=True)]

    return for_each_utterance(model, corpus, real_frames)


# --- one number a head -----------------------------------------------------------------------------------------------


def attention_entropy(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) → (..., T) how undecided each query is, in nats: 0 for one key, ln T for all alike."""
    return _entropy(np.asarray(weights, dtype=np.float64))


def mean_distance(weights: ArrayLike, hop: float) -> np.ndarray:
    """(..., T, T) → (...) how far away a query looks on average, in seconds if `hop` is (s from frame to frame)."""
    weights = np.asarray(weights, dtype=np.float64)
    return hop * (weights * _distances(weights.shape[-1])).sum(axis=-1).mean(axis=-1)


def globalness(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) → (...) mean entropy of the queries, nats: high where they look everywhere (arXiv 2006.03265)."""
    return attention_entropy(weights).mean(axis=-1)


def verticality(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) → (...) minus the entropy of the mean query, nats: high where all look at the same few keys."""
    return -_entropy(np.asarray(weights, dtype=np.float64).mean(axis=-2))


def diagonality(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) → (...) minus the mean distance, in lengths of the utterance: high where queries look nearby."""
    return -mean_distance(weights, 1 / np.shape(weights)[-1])


class HeadNumbers(NamedTuple):
    """The three measures of every head, their means over utterances; each (layers, H)."""

    globalness: np.ndarray  # nats
    verticality: np.ndarray  # nats
    diagonality: np.ndarray  # lengths of the utterance


def head_numbers(maps: Sequence[ArrayLike]) -> HeadNumbers:
    """From the maps of several utterances, (layers, H, T, T) each (arXiv 2006.03265, Section 3)."""
    measures = (globalness, verticality, diagonality)
    return HeadNumbers(*(np.mean([measure(weights) for weights in maps], axis=0) for measure in measures))


def head_types(numbers: HeadNumbers) -> np.ndarray:
    """(layers, H) of "global", "vertical", "diagonal": the measure by which a head ranks highest among all heads.

    Ranks compare measures that have different units. Where a head has the same rank in two, the one counts in which it
    lies further above the mean of all heads, in standard deviations. So every head gets a type, even one that is like
    all others: a type says what a head is beside the others, not what it is.
    """
    values = np.stack(numbers).reshape(3, -1)  # (3, heads)
    ranks = (-values).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")  # (3, heads), 0 for the highest
    spread = values.std(axis=1, keepdims=True)
    above = (values - values.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    best = np.lexsort((-above.T, ranks.T), axis=-1)[:, 0]  # (heads,) by rank, then by height above the mean
    return np.array(TYPES)[best].reshape(numbers.globalness.shape)


# --- where the weight goes -------------------------------------------------------------------------------------------


def distance_profile(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) → (..., 2 T - 1) mean weight at each offset key - query, from -(T - 1) to T - 1."""
    weights = np.asarray(weights, dtype=np.float64)
    T = weights.shape[-1]
    return np.stack(
        [np.diagonal(weights, offset, -2, -1).mean(axis=-1) for offset in range(1 - T, T)], axis=-1
    )  # fmt: skip


def position_alone(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) → (..., T, T) the map of a head with the same distance profile that knows nothing but distance.

    Rows add up to 1 again: near the ends a query has fewer neighbors, each of which gets more.
    """
    profile = distance_profile(weights)
    T = np.shape(weights)[-1]
    offsets = np.arange(T) - np.arange(T)[:, None] + T - 1  # (T, T), index into the profile
    plain = profile[..., offsets]
    return plain / plain.sum(axis=-1, keepdims=True)


class ClassAttention(NamedTuple):
    """Attention from one class of frames to another."""

    ratio: np.ndarray  # (..., classes, classes) asking class down, 1 for what the comparison gives; nan: never met
    frames: np.ndarray  # (classes,) how many frames each class has
    classes: tuple[str, ...]


def attention_by_class(
    maps: Sequence[ArrayLike], labels: Sequence[Sequence[str]], against: Sequence[ArrayLike] | None = None
) -> ClassAttention:
    """How much weight frames of one class give to another, as a multiple of what an even spread would give.

    Args:
        maps: of several utterances, (..., T, T) each.
        labels: what is said in each frame, (T,) each: phone classes.
        against: maps to compare with instead of the even spread; `position_alone` of the same maps takes away what
            follows from looking nearby, where the same phone still is.
    """
    classes = tuple(sorted({label for row in labels for label in row}))
    given, expected, frames = 0.0, 0.0, 0
    for i, (weights, row) in enumerate(zip(maps, labels, strict=True)):
        member = (np.asarray(row)[:, None] == np.array(classes)).astype(float)  # (T, classes)
        even = np.full((len(member), len(member)), 1 / len(member)) if against is None else np.asarray(against[i])
        given = given + member.T @ np.asarray(weights) @ member  # (..., classes, classes)
        expected = expected + member.T @ even @ member
        frames = frames + member.sum(axis=0).astype(int)
    expected = np.broadcast_to(expected, given.shape)
    ratio = np.divide(given, expected, out=np.full(given.shape, np.nan), where=expected > 0)
    return ClassAttention(ratio, frames, classes)


def attention_received(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) → (..., T) the weight that each key gets from all queries together; 1 from an even spread."""
    return np.asarray(weights, dtype=np.float64).sum(axis=-2)


class MaskedAttention(NamedTuple):
    """Mean weight received, in even shares; each (...)."""

    masked: np.ndarray
    visible: np.ndarray


def masked_attention(weights: ArrayLike, mask: ArrayLike) -> MaskedAttention:
    """How much attention masked and visible frames get: weights (..., T, T), mask (T,) bool."""
    share, mask = attention_received(weights), np.asarray(mask, dtype=bool)
    return MaskedAttention(share[..., mask].mean(axis=-1), share[..., ~mask].mean(axis=-1))


def rollout(attentions: ArrayLike) -> np.ndarray:
    """(layers, H, T, T) → (layers, T, T) what each output frame is mixed from, after each layer (arXiv 2005.00928).

    Heads are averaged; the residual connection counts as half: 0.5 A + 0.5 I; layers are multiplied. It knows nothing
    of values, of feed-forward layers, nor of how long the two summands of a residual are.
    """
    mixed = []
    for weights in np.asarray(attentions, dtype=np.float64).mean(axis=1):  # (T, T)
        step = 0.5 * weights + 0.5 * np.eye(len(weights))
        step /= step.sum(axis=-1, keepdims=True)
        mixed.append(step @ mixed[-1] if mixed else step)
    return np.stack(mixed)


# --- taking a head away ----------------------------------------------------------------------------------------------


@contextmanager
def without_heads(model: Wav2Vec2Model, heads: Iterable[tuple[int, int]]) -> Iterator[None]:
    """Within the `with` block, what these heads have gathered is zero; afterwards all is as before.

    Args:
        model: changed for as long as the block lasts.
        heads: (layer, head), both counted from 0.

    Raises:
        IndexError: there is no such head.
    """
    with ExitStack() as stack:
        for layer, head in heads:
            attention = model.encoder.layers[layer].attention
            if not 0 <= head < attention.num_heads:
                raise IndexError(f"head {head} of layer {layer}: there are {attention.num_heads}, counted from 0")
            width = attention.out_proj.in_features // attention.num_heads  # D/H
            own = slice(head * width, (head + 1) * width)  # this head's channels among the joined heads
            stack.callback(attention.out_proj.register_forward_pre_hook(partial(_silence, own)).remove)
        yield


def _silence(own: slice, _module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    heads = inputs[0].clone()  # (B, T, D)
    heads[..., own] = 0
    return (heads,)


@contextmanager
def even_attention(model: Wav2Vec2Model) -> Iterator[None]:
    """Inside the block, every head of every layer gives all real frames the same weight; values stay as they are.

    Queries of zero score all keys alike. Positions stay: they are in the frames themselves, by the convolution.
    """
    with ExitStack() as stack:
        for layer in model.encoder.layers:
            stack.callback(layer.attention.q_proj.register_forward_hook(_zeros).remove)
        yield


def _zeros(_module: nn.Module, _inputs: tuple[Tensor], queries: Tensor) -> Tensor:
    return torch.zeros_like(queries)


class Ablation(NamedTuple):
    """The contrastive task of each of U utterances, with one set of heads after the other taken away."""

    loss: np.ndarray  # (sets, U) nats, summed over the masked frames
    correct: np.ndarray  # (sets, U) masked frames whose target is found
    frames: np.ndarray  # (U,) masked frames


def head_ablation(
    model: Wav2Vec2ForPreTraining, corpus: Corpus, removals: Sequence[Collection[tuple[int, int]]], seed: int = 0
) -> Ablation:
    """What the contrastive task costs without some heads; leaves the model whole and in evaluation mode.

    Masks and distractors are the same for all sets, and those that `contrastive_metrics` draws from the same seed;
    targets do not depend on heads. So whatever differs is due to the heads.

    Args:
        model: pre-trained.
        corpus: to measure on.
        removals: sets of heads (layer, head), from 0, as `without_heads` takes them; an empty one for the whole model.
        seed: of masks and distractors.
    """
    network, config = model.wav2vec2, model.config
    generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)

    def measure(x: Tensor, attention_mask: Tensor) -> np.ndarray:  # → (B, 2 sets + 1)
        mask = time_mask(config.frame_lengths(attention_mask.sum(dim=1)), config, generator)  # (B, T)
        negatives = sample_negatives(mask, config.num_negatives, generator)  # (N, K)
        output = network(x, attention_mask)
        z = output.extract_features  # (B, T, C)
        quantized = model.quantizer(z[mask])
        q = model.project_q(quantized.codevectors)  # (N, d)
        frames = torch.where(mask[:, :, None], network.masked_spec_embed, network.feature_projection.projection(z))
        counts = mask.sum(dim=1).tolist()  # B masked frames
        rows = []
        for heads in removals:
            with without_heads(network, heads):
                c = network.encoder(frames, output.frame_mask).last_hidden_state[mask]  # (N, D)
            kappa = config.contrastive_logits_temperature
            logits = contrastive_logits(model.project_hid(c), q, quantized.codes, negatives, kappa)  # (N, K + 1)
            rows.append([contrastive_loss(own).item() for own in logits.split(counts)])
            rows.append([(own[:, 0] > own[:, 1:].amax(dim=1)).sum().item() for own in logits.split(counts)])
        return np.array([*rows, counts]).T

    found = np.stack(for_each_utterance(model, corpus, measure)).T  # (2 sets + 1, U)
    return Ablation(found[:-1:2], found[1:-1:2], found[-1])


def frame_hop(model: Wav2Vec2Model) -> float:
    """Seconds from one frame to the next."""
    return receptive_field(model.config)[-1].hop / SAMPLE_RATE


def _entropy(p: np.ndarray) -> np.ndarray:
    """Along the last axis, in nats."""
    return -(p * np.log(p, out=np.zeros_like(p), where=p > 0)).sum(axis=-1)


def _distances(T: int) -> np.ndarray:
    """(T, T) how many frames query and key are apart."""
    return np.abs(np.arange(T) - np.arange(T)[:, None])
