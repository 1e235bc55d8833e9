"""From probabilities to words: greedy decoding, beam search with a word n-gram model, times of words, error rates."""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import jiwer
import numpy as np
from torch import Tensor

from w2v2_teach.audio import SAMPLE_RATE
from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.corpus import Interval
from w2v2_teach.ctc import TokenSpan, collapse
from w2v2_teach.feature_encoder import receptive_field
from w2v2_teach.vocabulary import DELIMITER, Vocabulary

START, END, UNKNOWN = "<s>", "</s>", "<unk>"  # of a sentence; and any word that the training texts do not have
LEAST_PROBABILITY = 1e-4  # of a token that beam search considers; few reach it, for CTC is sure of its frames
SPREAD = 2  # frames of 20 ms; chosen on the toy corpus' dev speakers, where 1 to 3 do about as well


def greedy_decode(log_probs: Tensor, blank: int = 0) -> list[int]:
    """(T, V) → token ids: the likeliest token of each frame, collapsed."""
    return collapse(log_probs.argmax(dim=1).tolist(), blank)


class NGramModel:
    """Probability of the next word given the n - 1 before it, by interpolated Witten-Bell smoothing.

    A context that was seen c times, with w different words after it, gives c / (c + w) of the probability to what was
    counted, and the rest to the context that is one word shorter; the shortest one, to all words alike.
    """

    def __init__(self, counts: dict[tuple[str, ...], Counter[str]], order: int) -> None:
        """Give the words counted after each context of 0 … order - 1 words."""
        self.counts, self.order = counts, order
        self.words = tuple(sorted({END, UNKNOWN, *counts[()]}))  # all that can come next

    @classmethod
    def from_texts(cls, texts: Iterable[str], order: int = 3) -> NGramModel:
        """Count the words of sentences, each after all contexts of fewer than `order` words."""
        counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for text in texts:
            words = [START] * (order - 1) + text.split() + [END]
            for i in range(order - 1, len(words)):
                for length in range(order):
                    counts[tuple(words[i - length : i])][words[i]] += 1
        return cls(dict(counts), order)

    def log_prob(self, word: str, history: Sequence[str]) -> float:
        """log P(word | history) in nats.

        Args:
            word: the next word, or "</s>" for the end; one that is not among `words` has the probability of "<unk>".
            history: all words before it in its sentence.
        """
        context = ([START] * self.order + list(history))[len(history) + 1 :]
        return math.log(self._probability(word if word in self.words else UNKNOWN, tuple(context)))

    def _probability(self, word: str, context: tuple[str, ...]) -> float:
        shorter = self._probability(word, context[1:]) if context else 1 / len(self.words)
        if context not in self.counts:
            return shorter
        counts = self.counts[context]
        seen, different = counts.total(), len(counts)
        return (counts[word] + different * shorter) / (seen + different)


class Hypothesis(NamedTuple):
    """A text that beam search found."""

    text: str
    score: float  # log P(text | frames), plus what the language model and the word bonus add


def beam_search(
    log_probs: Tensor,
    vocabulary: Vocabulary,
    *,
    width: int = 25,
    language_model: NGramModel | None = None,
    weight: float = 0.75,
    word_bonus: float = 2.0,
) -> list[Hypothesis]:
    """Prefix beam search: frame by frame, the likeliest beginnings of a text, each summed over its paths.

    The score is log P(text | frames) + weight · log P_LM(text) + word_bonus · words (shallow fusion). A word is scored
    when it ends; one that no known word begins with, at once. An unknown word costs its letters, too: otherwise it
    would be cheaper to leave out the spaces, and to write one unknown word for many.

    Args:
        log_probs: (T, V) log softmax.
        vocabulary: the V tokens.
        width: beginnings that are kept after each frame.
        language_model: of words; None for none.
        weight: of the language model; it and the bonus were chosen on the toy corpus' dev speakers.
        word_bonus: for each word where there is a language model, since every word costs probability.

    Returns:
        The texts that are left after the last frame, best first.
    """
    fusion = _Fusion(vocabulary, language_model, weight, word_bonus)
    beams = {(): _Beam(_Text(), in_blank=1.0)}
    scale = 0.0  # log of what probabilities have been divided by, so that long sounds do not end at 0
    for frame in log_probs.exp().tolist():
        least = min(LEAST_PROBABILITY, max(frame))
        candidates = [(token, p) for token, p in enumerate(frame) if p >= least]
        grown = _grow(beams, candidates, vocabulary.blank, fusion)
        best = heapq.nlargest(width, grown.items(), key=lambda item: item[1].score)
        most = max(beam.total for _, beam in best)
        scale += math.log(most)
        beams = {prefix: _Beam(b.text, b.in_blank / most, b.in_token / most) for prefix, b in best if b.total}

    ends = defaultdict(list)  # text → log probabilities: beginnings that differ in spaces only are one text
    for beam in beams.values():
        ends[beam.text.all_words].append(scale + math.log(beam.total))
    found = [
        Hypothesis(" ".join(words), float(np.logaddexp.reduce(log_totals)) + fusion.whole(words))
        for words, log_totals in ends.items()
    ]
    return sorted(found, key=lambda hypothesis: hypothesis.score, reverse=True)


@dataclass(frozen=True, slots=True)
class _Text:
    """A beginning of a text in words."""

    words: tuple[str, ...] = ()  # that have ended
    partial: str = ""  # the one that is being written
    earned: float = 0.0  # score of the words that have ended
    score: float = 0.0  # the same, and what the partial one costs already

    @property
    def all_words(self) -> tuple[str, ...]:
        return (*self.words, self.partial) if self.partial else self.words


@dataclass(slots=True)
class _Beam:
    """A beginning of a text, and the probability of its paths."""

    text: _Text
    in_blank: float = 0.0  # of the paths that end in the blank
    in_token: float = 0.0  # of those that end in its last token

    @property
    def total(self) -> float:
        return self.in_blank + self.in_token

    @property
    def score(self) -> float:
        return math.log(self.total) + self.text.score if self.total else -math.inf


def _grow(
    beams: dict[tuple[int, ...], _Beam], candidates: list[tuple[int, float]], blank: int, fusion: _Fusion
) -> dict[tuple[int, ...], _Beam]:
    """All beginnings, by their tokens, one frame later: each with the paths of all that lead to it."""
    grown: dict[tuple[int, ...], _Beam] = {}
    for prefix, beam in beams.items():
        same = grown.setdefault(prefix, _Beam(beam.text))
        for token, p in candidates:
            before = beam.total
            if token == blank:
                same.in_blank += before * p
                continue
            if prefix and token == prefix[-1]:  # the token goes on; a second one needs a blank in between
                same.in_token += beam.in_token * p
                before = beam.in_blank
            longer = (*prefix, token)
            if longer not in grown:
                grown[longer] = _Beam(fusion.extended(beam.text, token))
            grown[longer].in_token += before * p
    return grown


class _Fusion:
    """What language model and word bonus add to a text."""

    def __init__(
        self, vocabulary: Vocabulary, language_model: NGramModel | None, weight: float, word_bonus: float
    ) -> None:
        self.model, self.weight, self.bonus = language_model, weight, word_bonus if language_model else 0.0
        self.delimiter = vocabulary.tokens.index(DELIMITER)
        self.written = [vocabulary.decode([token]) for token in range(len(vocabulary))]
        self.letter_cost = math.log(len(vocabulary))  # nats: an unknown word is any letters at all
        self.known = set(language_model.words) if language_model else set()
        self.beginnings = {word[:end] for word in self.known for end in range(len(word) + 1)}
        self.looked_up: dict[tuple[str, tuple[str, ...]], float] = {}  # log P(word | history): beams ask alike

    def extended(self, text: _Text, token: int) -> _Text:
        """The text with one more token."""
        if token != self.delimiter:
            partial = text.partial + self.written[token]
            cost = 0.0 if partial in self.beginnings else self._log_prob(partial, text.words)
            return _Text(text.words, partial, text.earned, text.earned + cost)
        if not text.partial:
            return text
        earned = text.earned + self.bonus + self._log_prob(text.partial, text.words)
        return _Text((*text.words, text.partial), "", earned, earned)

    def _log_prob(self, word: str, history: tuple[str, ...]) -> float:
        """log P(word | history), and the letters of an unknown word, times the weight."""
        if self.model is None:
            return 0.0
        known = word if word in self.known else UNKNOWN
        if (known, history) not in self.looked_up:
            self.looked_up[known, history] = self.model.log_prob(known, history)
        letters = len(word) if known == UNKNOWN else 0
        return self.weight * (self.looked_up[known, history] - letters * self.letter_cost)

    def whole(self, words: tuple[str, ...]) -> float:
        """Of a whole text, its end included."""
        inner = sum(self.bonus + self._log_prob(word, words[:i]) for i, word in enumerate(words))
        return inner + self._log_prob(END, words)


class Word(NamedTuple):
    """A word and when it is said."""

    start: float  # s
    end: float  # s
    text: str
    confidence: float  # mean probability of its letters


def word_times(spans: Sequence[TokenSpan], vocabulary: Vocabulary, config: Wav2Vec2Config) -> list[Word]:
    """Words with their times, from the alignment of their letters.

    A letter's span is a frame or two somewhere in its sound. So a word reaches up to `SPREAD` frames beyond its first
    and last letter; neighbours that are closer share what is between them. The space has no sound: where its span lies
    says nothing.

    Args:
        spans: of a whole text, delimiters included, from `forced_alignment`.
        vocabulary: of the tokens.
        config: of the model whose frames they are.
    """
    delimiter = vocabulary.tokens.index(DELIMITER)
    runs = groupby(spans, key=lambda span: span.token == delimiter)
    groups = [list(run) for is_delimiter, run in runs if not is_delimiter]
    words = []
    for i, letters in enumerate(groups):
        first, last = letters[0].first, letters[-1].last  # frames
        earliest = (groups[i - 1][-1].last + first) / 2 if i > 0 else 0
        latest = (last + groups[i + 1][0].first) / 2 if i + 1 < len(groups) else spans[-1].last
        start, end = max(first - SPREAD, earliest), min(last + SPREAD, latest)
        text = vocabulary.decode(span.token for span in letters)
        confidence = sum(span.confidence for span in letters) / len(letters)
        words.append(Word(_edge(start, config), _edge(end, config), text, confidence))
    return words


def _edge(frame: float, config: Wav2Vec2Config) -> float:
    """Where a frame begins, in seconds: half a hop before the middle of what it sees."""
    field = receptive_field(config)[-1]
    return (frame * field.hop + (field.samples - field.hop) / 2) / SAMPLE_RATE


def boundary_errors(found: Sequence[Interval], true: Sequence[Interval]) -> np.ndarray:
    """Distances in seconds of the found starts and ends from the true ones, (2 · words,): start, end, start, …

    Raises:
        ValueError: the words are not the same.
    """
    if [word.label for word in found] != [word.label for word in true]:
        raise ValueError(f"the words differ: {[w.label for w in found]} were found, {[w.label for w in true]} are true")
    boundaries = [np.array([(word.start, word.end) for word in words]).flatten() for words in (found, true)]
    return np.abs(boundaries[0] - boundaries[1])


def error_rates(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """`wer` and `cer`: words, and characters, to be replaced, removed or added, as a share of the references'."""
    references, hypotheses = list(references), list(hypotheses)
    return {"wer": jiwer.wer(references, hypotheses), "cer": jiwer.cer(references, hypotheses)}
