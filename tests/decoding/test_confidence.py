"""Confidence against counting by hand: which words are right, what a temperature does, how reliability is summed up."""

import numpy as np
import pytest
import torch

from w2v2_teach.config import TINY
from w2v2_teach.ctc import forced_alignment
from w2v2_teach.decoding.beam_search import greedy_decode
from w2v2_teach.decoding.confidence import (
    ScoredWords,
    at_temperature,
    fit_temperature,
    greedy_words,
    reliability,
    scored_words,
)
from w2v2_teach.decoding.vocabulary import Vocabulary
from w2v2_teach.decoding.word_times import word_times

VOCABULARY = Vocabulary(["<pad>", "|", "a", "b"])


def heard(text: str, sure: float) -> torch.Tensor:
    """(T, V): the tokens of a text, a blank after each, with logits of `sure` and 0."""
    tokens = [token for letter in VOCABULARY.encode(text) for token in (letter, 0)]
    return (sure * torch.eye(4)[tokens]).log_softmax(dim=-1)


def test_greedy_words_are_those_of_the_forced_alignment_of_the_greedy_text():
    torch.manual_seed(1)
    for _ in range(20):
        log_probs = (3 * torch.randn(40, 4)).log_softmax(dim=-1)
        spans = forced_alignment(log_probs, greedy_decode(log_probs))
        wanted = [word for word in word_times(spans, VOCABULARY, TINY) if word.text]
        assert [w.text for w in greedy_words(log_probs, VOCABULARY, TINY)] == [w.text for w in wanted]
        found = greedy_words(log_probs, VOCABULARY, TINY)
        np.testing.assert_allclose([w[:2] for w in found], [w[:2] for w in wanted])
        assert [w.confidence for w in found] == pytest.approx([w.confidence for w in wanted])


def test_a_temperature_divides_the_logits_and_moves_no_letter():
    logits = torch.randn(30, 4)
    calibrated = at_temperature(logits.log_softmax(dim=-1), 2.5)
    torch.testing.assert_close(calibrated, (logits / 2.5).log_softmax(dim=-1))
    text = greedy_decode(logits)
    assert [s[:3] for s in forced_alignment(calibrated, text)] == [s[:3] for s in forced_alignment(logits, text)]


def test_which_words_are_right_by_hand():
    log_probs = [heard(text, sure=2.0) for text in ("a ab b", "a", "ba a")]
    scored = scored_words([*log_probs, torch.eye(4)[[0]]], ["b ab b b", "b", "a", "a"], VOCABULARY, TINY)
    assert scored.right.tolist() == [False, True, True, False, False, True]
    p = np.exp(2) / (np.exp(2) + 3)  # of each letter
    assert scored.confidence.tolist() == pytest.approx([p, p**2, p, p, p**2, p])


def test_the_temperature_makes_mean_confidence_the_share_that_is_right():
    texts = ["a b", "b a", "ab b", "a"] * 5
    references = ["a a", "b b", "ab a", "a"] * 5  # 4 of 7 words are right
    log_probs = [heard(text, sure=9.0) for text in texts]
    before = scored_words(log_probs, references, VOCABULARY, TINY)
    assert before.confidence.min() > 0.99
    temperature = fit_temperature(log_probs, references, VOCABULARY, TINY)
    assert temperature > 2
    after = scored_words(log_probs, references, VOCABULARY, TINY, temperature)
    assert after.right.tolist() == before.right.tolist()
    assert after.confidence.mean() == pytest.approx(4 / 7, abs=0.06)
    assert fit_temperature([heard(text, sure=2.0) for text in texts], texts, VOCABULARY, TINY) < 0.5, "too modest"


def test_where_nothing_is_written_there_is_nothing_to_fit():
    assert fit_temperature([torch.eye(4)[[0, 0]].log_softmax(dim=-1)], ["a"], VOCABULARY, TINY) == 1.0


def test_reliability_by_hand():
    words = ScoredWords(np.array([0.05, 0.95, 0.97, 1.0, 0.91]), np.array([True, True, True, False, True]))
    table = reliability(words)
    assert table["words"] == 5
    assert [(b["lower"], b["count"]) for b in table["bins"]] == [(0.0, 1), (0.9, 4)]
    assert table["bins"][1]["mean_confidence"] == pytest.approx(3.83 / 4)
    assert table["bins"][1]["share_right"] == 0.75
    assert table["expected_calibration_error"] == pytest.approx((0.95 + 4 * (3.83 / 4 - 0.75)) / 5)
