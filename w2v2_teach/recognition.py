"""How well a recogniser transcribes a corpus, and how well it knows when each word was said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from w2v2_teach.batching import for_each_utterance
from w2v2_teach.corpus import Corpus, Interval
from w2v2_teach.ctc import forced_alignment
from w2v2_teach.decoding import (
    NGramModel,
    beam_search,
    boundary_errors,
    error_rates,
    greedy_decode,
    word_times,
)
from w2v2_teach.heads import Wav2Vec2ForCTC
from w2v2_teach.vocabulary import Vocabulary


def corpus_log_probs(model: Wav2Vec2ForCTC, corpus: Corpus) -> list[Tensor]:
    """The log probabilities (T, V) of every utterance, in order; leaves the model in evaluation mode."""

    def real_frames(x: Tensor, attention_mask: Tensor) -> list[Tensor]:
        output = model(x, attention_mask)
        rows = zip(output.log_probs.cpu(), output.frame_lengths.tolist(), strict=True)
        return [log_probs[:frames] for log_probs, frames in rows]

    return for_each_utterance(model, corpus, real_frames)


def transcripts(
    log_probs: Sequence[Tensor], vocabulary: Vocabulary, language_model: NGramModel | None = None
) -> list[str]:
    """The text of each utterance: greedy, or by beam search where there is a language model."""
    if language_model is None:
        return [vocabulary.decode(greedy_decode(frames)) for frames in log_probs]
    return [beam_search(frames, vocabulary, language_model=language_model)[0].text for frames in log_probs]


def recognition_metrics(
    model: Wav2Vec2ForCTC, vocabulary: Vocabulary, corpus: Corpus, language_model: NGramModel | None = None
) -> dict[str, float]:
    """`wer` and `cer` of greedy decoding and, with a language model, `beam_wer` and `beam_cer`, as shares of one."""
    references = [utterance.text for utterance in corpus]
    log_probs = corpus_log_probs(model, corpus)
    metrics = error_rates(references, transcripts(log_probs, vocabulary))
    if language_model is not None:
        beam = error_rates(references, transcripts(log_probs, vocabulary, language_model))
        metrics |= {f"beam_{name}": rate for name, rate in beam.items()}
    return metrics


def alignment_errors(model: Wav2Vec2ForCTC, vocabulary: Vocabulary, corpus: Corpus) -> np.ndarray:
    """Distance in seconds of every word boundary, found by forced alignment, from the true one.

    Args:
        corpus: with exact word times.

    Returns:
        (boundaries,) two a word, its start and its end.
    """
    errors = []
    for utterance, log_probs in zip(corpus, corpus_log_probs(model, corpus), strict=True):
        spans = forced_alignment(log_probs, vocabulary.encode(utterance.text))
        found = word_times(spans, vocabulary, model.config)
        errors.append(boundary_errors([Interval(w.start, w.end, w.text) for w in found], utterance.words))
    return np.concatenate(errors)


def evaluate_recogniser(model: Wav2Vec2ForCTC, vocabulary: Vocabulary, train: Corpus, test: Corpus) -> dict[str, float]:
    """Error rates, greedy and by beam search, and the median error of a word boundary in seconds.

    Args:
        model: what has been fine-tuned.
        vocabulary: its own.
        train: whose transcripts the word n-gram model is estimated from.
        test: speakers that the model has not heard, with word times.
    """
    language_model = NGramModel.from_texts([utterance.text for utterance in train])
    errors = alignment_errors(model, vocabulary, test)
    return {
        **recognition_metrics(model, vocabulary, test, language_model),
        "median_boundary_error": float(np.median(errors)),
        "words": len(errors) // 2,
    }
