"""The outputs of each layer: similarity of layers (CKA), and linear probes of each."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from w2v2_teach.analysis.probes import linear_probe
from w2v2_teach.feature_encoder import frame_times
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.speech.batching import for_each_utterance
from w2v2_teach.speech.corpora import DIGITS, Corpus, Utterance
from w2v2_teach.speech.intervals import frame_labels

FOLDS = 4  # of utterances, for probes of the speaker


class UtteranceLayers(NamedTuple):
    """The outputs of each layer for one utterance."""

    utterance: Utterance
    times: np.ndarray  # (T,) s, the center of each frame
    layers: dict[str, np.ndarray]  # "z", "input", "layer 1", … → (T, C) for z, (T, D) for the others


class LayerStates(NamedTuple):
    """The outputs of each layer for the same N frames or words, and the labels of these."""

    layers: dict[str, np.ndarray]  # → (N, C) for z, (N, D) for the others
    labels: np.ndarray  # (N,) phone or word
    speakers: np.ndarray  # (N,)
    utterances: np.ndarray  # (N,) int, which utterance of the corpus


def layer_outputs(model: Wav2Vec2Model, corpus: Corpus) -> list[UtteranceLayers]:
    """The outputs of each layer for each utterance, without masking and padding; leaves the model in evaluation mode.

    "z" are the normalized latent frames, "input" is the first layer's input; the last layer's output is the context.
    """

    def real_frames(x: Tensor, attention_mask: Tensor) -> list[dict[str, np.ndarray]]:
        output = model(x, attention_mask, output_hidden_states=True)
        states = [output.extract_features, *output.hidden_states[:-1], output.last_hidden_state]  # (B, T, ·) each
        names = ["z", "input", *(f"layer {i}" for i in range(1, len(states) - 1))]
        return [
            {name: state[b, :T].cpu().numpy() for name, state in zip(names, states, strict=True)}
            for b, T in enumerate(output.frame_mask.sum(dim=1).tolist())
        ]

    return [
        UtteranceLayers(utterance, frame_times(model.config, len(layers["z"])).numpy(), layers)
        for utterance, layers in zip(corpus, for_each_utterance(model, corpus, real_frames), strict=True)
    ]


def frame_states(outputs: Sequence[UtteranceLayers], frames: int | None = None) -> LayerStates:
    """The outputs of all layers at `frames` frames within phones, drawn at random; at all such frames if None."""
    phones = np.concatenate([frame_labels(output.utterance.phones, output.times) for output in outputs])
    drawn = np.random.default_rng(0).permutation(np.flatnonzero(phones != ""))[:frames]  # (N,)
    index = np.repeat(np.arange(len(outputs)), [len(output.times) for output in outputs])[drawn]  # (N,)
    layers = {name: np.concatenate([output.layers[name] for output in outputs])[drawn] for name in outputs[0].layers}
    return LayerStates(layers, phones[drawn], np.array([outputs[i].utterance.speaker for i in index]), index)


def word_states(outputs: Sequence[UtteranceLayers], words: Sequence[str]) -> LayerStates:
    """The outputs of all layers, averaged over the frames of each occurrence of one of `words`."""
    means: dict[str, list[np.ndarray]] = {name: [] for name in outputs[0].layers}
    labels: list[str] = []
    speakers: list[str] = []
    index: list[int] = []
    for i, (utterance, times, layers) in enumerate(outputs):
        for word in utterance.words:
            inside = (word.start <= times) & (times < word.end)  # (T,)
            if word.label in words and inside.any():
                for name, states in layers.items():
                    means[name].append(states[inside].mean(axis=0))
                labels, speakers, index = [*labels, word.label], [*speakers, utterance.speaker], [*index, i]
    layers = {name: np.stack(rows) for name, rows in means.items()}
    return LayerStates(layers, np.array(labels), np.array(speakers), np.array(index))


def utterance_means(outputs: Sequence[UtteranceLayers]) -> dict[str, np.ndarray]:
    """Each layer averaged over the frames of each utterance: layer → (utterances, ·)."""
    return {name: np.stack([output.layers[name].mean(axis=0) for output in outputs]) for name in outputs[0].layers}


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear centered kernel alignment (CKA) of two representations, between 0 and 1 (arXiv 1905.00414, Section 3).

    It is invariant to rotation, scaling and translation of either representation.

    Args:
        x: (N, D₁), and
        y: (N, D₂), representations of the same N frames.
    """
    x, y = x - x.mean(axis=0, dtype=np.float64), y - y.mean(axis=0, dtype=np.float64)
    shared, own_x, own_y = (np.linalg.norm(a.T @ b) for a, b in ((y, x), (x, x), (y, y)))
    return float(shared**2 / (own_x * own_y))


def cka_matrix(rows: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Linear CKA of each layer of `rows` with each layer of `columns`, (rows, columns), over the same N frames."""
    return np.array([[linear_cka(x, y) for y in columns.values()] for x in rows.values()])


def layer_probes(outputs: Sequence[UtteranceLayers], frames: int = 2_000) -> dict[str, dict[str, float]]:
    """Accuracy of linear probes of each layer: "phone", "speaker" or "digit" → layer → accuracy.

    Phones are classified from single frames, and digits from the mean frame of a word, both on held-out speakers.
    Speakers are classified from single frames of held-out utterances.

    Args:
        outputs: `layer_outputs` of speech with phone and word times, by several speakers.
        frames: number of frames for the probes of phones and speakers.
    """
    of_frames, of_digits = frame_states(outputs, frames), word_states(outputs, DIGITS)
    folds = np.array([f"fold {i % FOLDS}" for i in of_frames.utterances])
    questions = {
        "phone": (of_frames.layers, of_frames.labels, of_frames.speakers),
        "speaker": (of_frames.layers, of_frames.speakers, folds),
        "digit": (of_digits.layers, of_digits.labels, of_digits.speakers),
    }
    return {
        question: {name: float(np.mean(list(linear_probe(x, labels, groups).values()))) for name, x in layers.items()}
        for question, (layers, labels, groups) in questions.items()
    }
