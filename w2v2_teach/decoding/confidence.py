"""Word confidence that can be believed: the temperature of the posteriors, and how reliable confidences are."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import jiwer
import numpy as np
from scipy.optimize import minimize_scalar
from torch import Tensor

from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.ctc import TokenSpan
from w2v2_teach.decoding.vocabulary import Vocabulary
from w2v2_teach.decoding.word_times import Word, word_times

BINS = 10  # of the reliability table
TEMPERATURES = 0.1, 20.0  # the range that is searched
LEAST = 1e-6  # a confidence of 0 or 1 that is wrong would cost infinitely many nats


class ScoredWords(NamedTuple):
    """Words that a recognizer wrote."""

    confidence: np.ndarray  # (N,)
    right: np.ndarray  # (N,) bool, in an alignment with the fewest errors


def at_temperature(log_probs: Tensor, temperature: float) -> Tensor:
    """(T, V) → (T, V): log softmax of the logits divided by the temperature; above 1, the model is less sure."""
    return (log_probs / temperature).log_softmax(dim=-1)


def greedy_words(log_probs: Tensor, vocabulary: Vocabulary, config: Wav2Vec2Config) -> list[Word]:
    """(T, V) → the words of greedy decoding, with their times and confidences."""
    spans, first = [], 0
    for token, run in groupby(log_probs.argmax(dim=1).tolist()):
        last = first + len(list(run))
        if token != vocabulary.blank:
            spans.append(TokenSpan(token, first, last, float(log_probs[first:last, token].exp().mean())))
        first = last
    return [word for word in word_times(spans, vocabulary, config) if word.text]


def scored_words(
    log_probs: Sequence[Tensor],
    references: Sequence[str],
    vocabulary: Vocabulary,
    config: Wav2Vec2Config,
    temperature: float = 1.0,
) -> ScoredWords:
    """The words of greedy decoding in utterances of (T, V) each, and which of them are those of the transcripts."""
    words = [greedy_words(at_temperature(frames, temperature), vocabulary, config) for frames in log_probs]
    texts = [" ".join(word.text for word in utterance) for utterance in words]
    right = [np.zeros(len(utterance), dtype=bool) for utterance in words]
    for row, chunks in zip(right, jiwer.process_words(list(references), texts).alignments, strict=True):
        for chunk in chunks:
            row[chunk.hyp_start_idx : chunk.hyp_end_idx] = chunk.type == "equal"
    return ScoredWords(np.array([w.confidence for utterance in words for w in utterance]), np.concatenate(right))


def fit_temperature(
    log_probs: Sequence[Tensor], references: Sequence[str], vocabulary: Vocabulary, config: Wav2Vec2Config
) -> float:
    """The temperature at which word confidences predict best which words are right, by speakers unknown to the model.

    Temperature scaling (Guo et al. 2017, arXiv 1706.04599); what is minimized is the cross entropy by which word
    confidences are compared (Siu & Gish 1999). 1 where not one word is written.
    """

    def cross_entropy(log_temperature: float) -> float:
        p, right = scored_words(log_probs, references, vocabulary, config, np.exp(log_temperature))
        p = p.clip(LEAST, 1 - LEAST)  # (N,)
        return -float(np.log(np.where(right, p, 1 - p)).mean())

    if not any(greedy_words(frames, vocabulary, config) for frames in log_probs):
        return 1.0
    return float(np.exp(minimize_scalar(cross_entropy, bounds=np.log(TEMPERATURES), options={"xatol": 0.02}).x))


def reliability(words: ScoredWords) -> dict[str, Any]:
    """How far confidence is from the share of right words, in bins of equal width (Guo et al. 2017, Section 2).

    Returns:
        `words`, N; `expected_calibration_error`, the mean distance over the words; `bins`, those that are not empty,
        each with its `lower` edge, `count`, `mean_confidence` and `share_right`.
    """
    which = np.minimum((words.confidence * BINS).astype(int), BINS - 1)  # (N,)
    bins = []
    for b in np.unique(which):
        sure, right = words.confidence[which == b], words.right[which == b]
        means = {"mean_confidence": float(sure.mean()), "share_right": float(right.mean())}
        bins.append({"lower": float(b) / BINS, "count": len(sure), **means})
    distances = (b["count"] * abs(b["mean_confidence"] - b["share_right"]) for b in bins)
    return {"words": len(which), "expected_calibration_error": sum(distances) / max(1, len(which)), "bins": bins}
