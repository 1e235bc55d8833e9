"""Greedy and beam search against exhaustive enumeration, the n-gram model's sums, times of words, error rates."""

import itertools
import math

import numpy as np
import pytest
import torch

from w2v2_teach.config import TINY
from w2v2_teach.ctc import TokenSpan, collapse
from w2v2_teach.decoding.beam_search import beam_search, greedy_decode
from w2v2_teach.decoding.error_rates import boundary_errors, error_rates
from w2v2_teach.decoding.ngram import END, NGramModel
from w2v2_teach.decoding.vocabulary import Vocabulary
from w2v2_teach.decoding.word_times import word_times
from w2v2_teach.feature_encoder import frame_times
from w2v2_teach.speech.intervals import Interval

VOCABULARY = Vocabulary(["<pad>", "|", "a", "b"])
TEXTS = ["a b a", "ab ba", "a ab", "b", "a b"]


def every_text(log_probs: torch.Tensor) -> dict[str, float]:
    """Text → log probability, from all paths, one after the other."""
    found = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        text = VOCABULARY.decode(collapse(path))
        score = sum(float(log_probs[t, token]) for t, token in enumerate(path))
        found[text] = float(np.logaddexp(found.get(text, -math.inf), score))
    return found


def test_greedy_collapses_the_likeliest_tokens():
    log_probs = torch.eye(4)[[0, 2, 2, 0, 2, 1, 3, 3, 0]].log_softmax(1)
    assert greedy_decode(log_probs) == [2, 2, 1, 3]
    assert greedy_decode(log_probs, blank=2) == [0, 0, 1, 3, 0]


# --- beam search ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_beam_search_finds_every_text_and_its_probability(seed):
    torch.manual_seed(seed)
    log_probs = torch.randn(5, 4).log_softmax(1)
    wanted = every_text(log_probs)
    found = beam_search(log_probs, VOCABULARY, width=10_000)
    assert {hypothesis.text for hypothesis in found} == set(wanted)
    assert [h.score for h in found] == pytest.approx([wanted[h.text] for h in found], abs=1e-4)
    assert [h.score for h in found] == sorted(wanted.values(), reverse=True) or found[0].text == max(
        wanted, key=wanted.get
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("weight", "bonus"), [(0.7, 0.0), (2.0, 1.5)])
def test_beam_search_with_words_is_exhaustive_search_with_words(seed, weight, bonus):
    torch.manual_seed(seed)
    log_probs = torch.randn(5, 4).log_softmax(1)
    model = NGramModel.from_texts(TEXTS)
    wanted = {}
    for text, score in every_text(log_probs).items():
        words = text.split()
        fused = sum(model.log_prob(word, words[:i]) for i, word in enumerate([*words, END]))
        fused -= math.log(4) * sum(len(word) for word in words if word not in model.words)
        wanted[text] = score + weight * fused + bonus * len(words)
    found = beam_search(
        log_probs, VOCABULARY, width=10_000, language_model=model, weight=weight, word_bonus=bonus
    )  # fmt: skip
    assert [h.score for h in found] == pytest.approx([wanted[h.text] for h in found], abs=1e-4)
    assert found[0].text == max(wanted, key=wanted.get)


def test_the_likeliest_path_is_not_always_the_likeliest_text():
    log_probs = torch.tensor([[0.6, 0.0, 0.4, 0.0]] * 2).clamp(min=1e-9).log()  # blank, blank: 0.36; an "a": 0.64
    assert VOCABULARY.decode(greedy_decode(log_probs)) == ""
    best = beam_search(log_probs, VOCABULARY)[0]
    assert (best.text, best.score) == ("a", pytest.approx(math.log(0.64), abs=1e-5))


def test_words_are_not_glued_together():
    """A narrow beam, frames that half hear the spaces: a beginning that no known word has must pay at once."""
    sure = {
        "a": [0.05, 0.01, 0.9, 0.04],
        "b": [0.05, 0.01, 0.04, 0.9],
        "|": [0.65, 0.33, 0.01, 0.01],
        "–": [0.97] + [0.01] * 3,
    }
    log_probs = torch.tensor([sure[heard] for heard in "a–b|b–a|a–b|b–a"]).log()
    model = NGramModel.from_texts(["ab ba ab ba", "ba ab", "a b", "b a a"])
    assert beam_search(log_probs, VOCABULARY)[0].text == "abbaabba"
    assert beam_search(log_probs, VOCABULARY, width=4, language_model=model, word_bonus=0)[0].text == "ab ba ab ba"


def test_double_letters_need_a_blank():
    a, blank = torch.tensor([1e-6, 1e-6, 1.0, 1e-6]).log(), torch.tensor([1.0, 1e-6, 1e-6, 1e-6]).log()
    assert beam_search(torch.stack([a, a]), VOCABULARY)[0].text == "a"
    assert beam_search(torch.stack([a, blank, a]), VOCABULARY)[0].text == "aa"


def test_a_narrow_beam_finds_no_more_than_there_is():
    log_probs = torch.randn(7, 4).log_softmax(1)
    wanted = every_text(log_probs)
    found = beam_search(log_probs, VOCABULARY, width=3)
    assert 1 <= len(found) <= 3
    assert all(hypothesis.score <= wanted[hypothesis.text] + 1e-4 for hypothesis in found)


def test_long_sounds_do_not_underflow():
    ids = torch.randint(1, 4, (3000,))
    log_probs = (0.5 * torch.randn(3000, 4) + 3 * torch.eye(4)[ids]).log_softmax(1)
    found = beam_search(log_probs, VOCABULARY, width=4)
    assert math.isfinite(found[0].score)
    assert len(found[0].text) > 500


def test_silence_is_an_empty_text():
    assert beam_search(torch.eye(4)[[0, 0]].mul(20).log_softmax(1), VOCABULARY)[0].text == ""


# --- the language model -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_next_words_add_up_to_one(order):
    model = NGramModel.from_texts(TEXTS, order)
    for history in ([], ["a"], ["a", "b"], ["ab", "ba"], ["never", "heard"], ["never", "heard", "a", "b", "a"]):
        total = math.fsum(math.exp(model.log_prob(word, history)) for word in model.words)
        assert total == pytest.approx(1)


def test_a_bigram_by_hand():
    model = NGramModel.from_texts(["a b a", "a b", "a"], order=2)
    assert model.words == ("</s>", "<unk>", "a", "b")
    # words and ends: a 4, b 2, </s> 3, 9 in all and 3 different; each of the 4 that can come has 1/4 to begin with
    b = (2 + 3 / 4) / (9 + 3)
    assert model.log_prob("b", ["b", "a"]) == pytest.approx(math.log((2 + 2 * b) / (4 + 2)))  # after a: b 2, </s> 2
    assert model.log_prob("a", []) == pytest.approx(math.log((3 + 1 * (4 + 3 / 4) / 12) / (3 + 1)))
    assert model.log_prob("b", ["never"]) == pytest.approx(math.log(b))


def test_unknown_words_share_one_probability():
    model = NGramModel.from_texts(TEXTS)
    assert model.log_prob("zebra", ["a"]) == model.log_prob("<unk>", ["a"]) < model.log_prob("b", ["a"])
    assert model.log_prob(END, ["a", "b", "a"]) > model.log_prob(END, [])


def test_a_longer_context_counts():
    model = NGramModel.from_texts(["the red car", "the red car", "a red bus", "a red bus"])
    assert model.log_prob("car", ["the", "red"]) > model.log_prob("bus", ["the", "red"])
    assert model.log_prob("bus", ["a", "red"]) > model.log_prob("car", ["a", "red"])


# --- times and rates --------------------------------------------------------------------------------------------------


def test_words_reach_beyond_their_spikes_and_share_what_is_between_them():
    spans = [
        *(TokenSpan(2, 3, 4, 0.8), TokenSpan(3, 6, 8, 0.6), TokenSpan(1, 10, 11, 1.0)),
        *(TokenSpan(2, 20, 21, 0.5), TokenSpan(1, 21, 22, 1.0), TokenSpan(3, 22, 23, 0.9)),
    ]
    words = word_times(spans, VOCABULARY, TINY)
    middles = frame_times(TINY, 30).numpy()  # (T,)
    edges = middles - (middles[1] - middles[0]) / 2  # where frame t's share of the sound begins
    assert [word.text for word in words] == ["ab", "a", "b"]
    assert [word.confidence for word in words] == pytest.approx([0.8 * 0.6, 0.5, 0.9])
    assert (words[0].start, words[0].end) == pytest.approx((edges[1], edges[10]))  # two frames more at both ends
    assert (words[1].start, words[1].end) == pytest.approx(
        (edges[18], (edges[21] + edges[22]) / 2)
    )  # half of one frame
    assert (words[2].start, words[2].end) == pytest.approx(
        ((edges[21] + edges[22]) / 2, edges[23])
    )  # the last span's end


def test_words_stay_within_the_aligned_frames():
    (word,) = word_times([TokenSpan(2, 0, 1, 0.5), TokenSpan(1, 1, 2, 1.0)], VOCABULARY, TINY)
    assert (word.start, word.end) == pytest.approx((0.0025, 0.0425))


def test_delimiters_alone_are_no_words():
    assert word_times([], VOCABULARY, TINY) == []
    assert word_times([TokenSpan(1, 0, 1, 1.0), TokenSpan(1, 3, 4, 1.0)], VOCABULARY, TINY) == []


def test_boundary_errors_by_hand():
    true = [Interval(0.1, 0.4, "go"), Interval(0.4, 0.9, "home")]
    found = [Interval(0.12, 0.37, "go"), Interval(0.4, 1.0, "home")]
    np.testing.assert_allclose(boundary_errors(found, true), [0.02, 0.03, 0.0, 0.1], atol=1e-9)
    with pytest.raises(ValueError, match="the words differ"):
        boundary_errors(found[:1], true)


def test_error_rates_by_hand():
    rates = error_rates(["the cat sat", "go"], ["the bat sat on", "go"])
    assert rates["wer"] == pytest.approx(2 / 4)  # one word replaced, one added, of four
    assert rates["cer"] == pytest.approx(4 / 13)
    assert error_rates(["go"], [""]) == {"wer": 1.0, "cer": 1.0}
