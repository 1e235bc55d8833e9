"""Measures of attention maps, and the ablation of attention heads.

Functions of `weights` take maps (..., T, T) of real frames only, queries as rows and keys as columns; each row sums to
1. `attention_maps` returns such maps, without padding.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from w2v2_teach.analysis.information import entropy
from w2v2_teach.context_network import TransformerLayer
from w2v2_teach.losses import contrastive_loss, sample_negatives
from w2v2_teach.masking import time_mask
from w2v2_teach.model import Wav2Vec2ForPreTraining, Wav2Vec2Model
from w2v2_teach.speech.batching import for_each_utterance
from w2v2_teach.speech.corpora import Corpus

TYPES = ("global", "vertical", "diagonal")


def attention_maps(model: Wav2Vec2Model, corpus: Corpus) -> list[np.ndarray]:
    """The attention weights of each utterance, (layers, H, T, T), without masking.

    Leaves the model in evaluation mode.
    """

    def real_frames(x: Tensor, attention_mask: Tensor) -> list[np.ndarray]:
        output = model(x, attention_mask, output_attentions=True)
        stacked = torch.stack(output.attentions, dim=1).cpu().numpy()  # (B, layers, H, T, T)
        lengths = output.frame_mask.sum(dim=1).tolist()
        return [weights[:, :, :T, :T] for weights, T in zip(stacked, lengths, strict=True)]

    return for_each_utterance(model, corpus, real_frames)


# --- one number per head ---------------------------------------------------------------------------------------------


def attention_entropy(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) → (..., T) entropy of each query's weights in nats: 0 for a single key, ln T for uniform weights."""
    return entropy(weights, axis=-1)


def mean_distance(weights: ArrayLike, hop: float) -> np.ndarray:
    """(..., T, T) → (...) mean distance between query and key, weighted by attention, in seconds.

    Args:
        weights: attention maps.
        hop: time from one frame to the next, in seconds; 1 for a distance in frames.
    """
    weights = np.asarray(weights, dtype=np.float64)
    frames = np.arange(weights.shape[-1])  # (T,)
    return hop * (weights * np.abs(frames - frames[:, None])).sum(axis=-1).mean(axis=-1)


def globalness(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) → (...) mean entropy of the queries in nats: high for uniform attention (arXiv 2006.03265)."""
    return attention_entropy(weights).mean(axis=-1)


def verticality(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) → (...) minus the entropy of the mean query in nats: high if all queries attend to the same keys."""
    return -entropy(np.asarray(weights, dtype=np.float64).mean(axis=-2), axis=-1)


def diagonality(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) → (...) minus the mean distance, as a share of the utterance: high if queries attend to neighbors."""
    return -mean_distance(weights, 1 / np.shape(weights)[-1])


class HeadNumbers(NamedTuple):
    """The three measures of each head, means over utterances; each (layers, H)."""

    globalness: np.ndarray  # nats
    verticality: np.ndarray  # nats
    diagonality: np.ndarray  # share of the utterance


def head_numbers(maps: Sequence[ArrayLike]) -> HeadNumbers:
    """The three measures of each head, from the maps of several utterances, (layers, H, T, T) each.

    From arXiv 2006.03265, Section 3.
    """
    measures = (globalness, verticality, diagonality)
    return HeadNumbers(*(np.mean([measure(weights) for weights in maps], axis=0) for measure in measures))


def head_types(numbers: HeadNumbers) -> np.ndarray:
    """The type of each head, (layers, H) of "global", "vertical", "diagonal": the measure in which it ranks highest.

    Ranks among all heads make measures with different units comparable. If a head has the same rank in two measures,
    the one counts in which it lies more standard deviations above the mean of all heads. A type is relative: each head
    gets one, even if all heads are alike.
    """
    values = np.stack(numbers).reshape(3, -1)  # (3, heads)
    ranks = (-values).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")  # (3, heads), 0 for the highest
    spread = values.std(axis=1, keepdims=True)
    above = (values - values.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    best = np.lexsort((-above.T, ranks.T), axis=-1)[:, 0]  # (heads,) by rank, then by height above the mean
    return np.array(TYPES)[best].reshape(numbers.globalness.shape)


# --- which frames attend to which ------------------------------------------------------------------------------------


def distance_profile(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) → (..., 2 T - 1) mean weight at each offset of the key from the query, from -(T - 1) to T - 1."""
    weights = np.asarray(weights, dtype=np.float64)
    T = weights.shape[-1]
    means = [np.diagonal(weights, offset, -2, -1).mean(axis=-1) for offset in range(1 - T, T)]  # 2 T - 1 of (...)
    return np.stack(means, axis=-1)


def position_alone(weights: ArrayLike) -> np.ndarray:
    """(..., T, T) → (..., T, T) the map of a head that attends by distance alone, with the same distance profile.

    Rows are normalized to sum to 1, because queries near the ends have fewer neighbors.
    """
    profile = distance_profile(weights)
    T = np.shape(weights)[-1]
    offsets = np.arange(T) - np.arange(T)[:, None] + T - 1  # (T, T), index into the profile
    plain = profile[..., offsets]
    return plain / plain.sum(axis=-1, keepdims=True)


class ClassAttention(NamedTuple):
    """Attention between classes of frames."""

    ratio: np.ndarray  # (..., classes, classes) queries' class by keys' class, relative to the baseline; nan: no frames
    frames: np.ndarray  # (classes,) number of frames
    classes: tuple[str, ...]


def attention_by_class(
    maps: Sequence[ArrayLike], labels: Sequence[Sequence[str]], against: Sequence[ArrayLike] | None = None
) -> ClassAttention:
    """Attention weight from each class of frames to each other class, relative to a baseline.

    Args:
        maps: of several utterances, (..., T, T) each.
        labels: the class of each frame, such as its phone class, (T,) for each utterance.
        against: the baseline's maps; None for uniform attention. With `position_alone` of the same maps, the ratio
            leaves out the effect of distance: neighbors often belong to the same phone.
    """
    classes = tuple(sorted({label for row in labels for label in row}))
    given, expected, frames = np.zeros(()), np.zeros(()), np.zeros((), dtype=int)
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
    """(..., T, T) → (..., T) total weight that each key receives from all queries; 1 under uniform attention."""
    return np.asarray(weights, dtype=np.float64).sum(axis=-2)


class MaskedAttention(NamedTuple):
    """Mean of `attention_received` over masked and over visible frames; each (...)."""

    masked: np.ndarray
    visible: np.ndarray


def masked_attention(weights: ArrayLike, mask: ArrayLike) -> MaskedAttention:
    """Attention that masked and visible frames receive, from weights (..., T, T) and mask (T,) bool."""
    received, mask = attention_received(weights), np.asarray(mask, dtype=bool)
    return MaskedAttention(received[..., mask].mean(axis=-1), received[..., ~mask].mean(axis=-1))


def rollout(attentions: ArrayLike) -> np.ndarray:
    """(layers, H, T, T) → (layers, T, T) attention rollout after each layer (arXiv 2005.00928).

    Row t estimates how much each input frame contributes to output frame t. Heads are averaged, the residual connection
    is given half of the weight, 0.5 A + 0.5 I, and layers are multiplied. Values, feed-forward layers and the norms of
    the residual's two summands are ignored.
    """
    mixed: list[np.ndarray] = []
    for weights in np.asarray(attentions, dtype=np.float64).mean(axis=1):  # (T, T)
        step = 0.5 * weights + 0.5 * np.eye(len(weights))
        step /= step.sum(axis=-1, keepdims=True)
        mixed.append(step @ mixed[-1] if mixed else step)
    return np.stack(mixed)


# --- head ablation ---------------------------------------------------------------------------------------------------


@contextmanager
def without_heads(model: Wav2Vec2Model, heads: Iterable[tuple[int, int]]) -> Iterator[None]:
    """Set the outputs of these heads to zero within the `with` block.

    Args:
        model: whose layers get hooks, which are removed at the end of the block.
        heads: (layer, head), both counted from 0.

    Raises:
        IndexError: a layer has no such head.
    """
    with ExitStack() as stack:
        for layer, head in heads:
            attention = cast(TransformerLayer, model.encoder.layers[layer]).attention
            if not 0 <= head < attention.num_heads:
                raise IndexError(f"head {head} of layer {layer}: there are {attention.num_heads}, counted from 0")
            width = attention.out_proj.in_features // attention.num_heads  # D/H
            own = slice(head * width, (head + 1) * width)  # this head's channels among the joined heads
            stack.callback(attention.out_proj.register_forward_pre_hook(partial(_zero_channels, own)).remove)
        yield


def _zero_channels(own: slice, _module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
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
            attention = cast(TransformerLayer, layer).attention
            hook = attention.q_proj.register_forward_hook(lambda _module, _inputs, queries: torch.zeros_like(queries))
            stack.callback(hook.remove)
        yield


class Ablation(NamedTuple):
    """The contrastive task of each of U utterances, without each of several sets of heads."""

    loss: np.ndarray  # (sets, U) nats, summed over the masked frames
    correct: np.ndarray  # (sets, U) masked frames whose target is identified
    frames: np.ndarray  # (U,) masked frames


def head_ablation(
    model: Wav2Vec2ForPreTraining, corpus: Corpus, removals: Sequence[Collection[tuple[int, int]]], seed: int = 0
) -> Ablation:
    """Contrastive loss and accuracy without some heads; leaves the model unchanged and in evaluation mode.

    Masks and distractors are the same for all sets of heads, and the same that `contrastive_metrics` draws from the
    same seed. Targets do not depend on the heads.

    Args:
        model: pre-trained.
        corpus: to measure on.
        removals: sets of heads (layer, head), counted from 0; an empty set for the whole model.
        seed: of masks and distractors.
    """
    config = model.config
    generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)

    def measure(x: Tensor, attention_mask: Tensor) -> np.ndarray:  # → (B, 2 sets + 1)
        mask = time_mask(config.frame_lengths(attention_mask.sum(dim=1)), config, generator)  # (B, T)
        negatives = sample_negatives(mask, config.num_negatives, generator)  # (N, K)
        counts = mask.sum(dim=1).tolist()  # masked frames of each of the B utterances
        rows = []
        for heads in removals:
            with without_heads(model.wav2vec2, heads):
                logits = model(x, mask, negatives, attention_mask).logits.split(counts)  # (N_b, K + 1) each
            rows.append([contrastive_loss(own).item() for own in logits])
            rows.append([(own[:, 0] > own[:, 1:].amax(dim=1)).sum().item() for own in logits])
        return np.array([*rows, counts]).T

    found = np.stack(for_each_utterance(model, corpus, measure)).T  # (2 sets + 1, U)
    return Ablation(found[:-1:2], found[1:-1:2], found[-1])
