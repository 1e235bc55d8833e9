"""From probabilities to text: greedy decoding, and prefix beam search with a word n-gram model."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from w2v2_teach.ctc import collapse
from w2v2_teach.decoding.ngram import END, UNKNOWN, NGramModel
from w2v2_teach.decoding.vocabulary import DELIMITER, Vocabulary

LEAST_PROBABILITY = 1e-4  # of a token that beam search considers; few reach it, for CTC is sure of its frames


def greedy_decode(log_probs: Tensor, blank: int = 0) -> list[int]:
    """(T, V) → token ids: the likeliest token of each frame, collapsed."""
    return collapse(log_probs.argmax(dim=1).tolist(), blank)


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
    """Prefix beam search: frame by frame, the likeliest prefixes of a text, each summed over its paths.

    The score is log P(text | frames) + weight · log P_LM(text) + word_bonus · words (shallow fusion). A word is scored
    when it ends; one that no known word begins with, at once. An unknown word costs its letters, too: otherwise it
    would be cheaper to leave out the spaces, and to write one unknown word for many.

    Args:
        log_probs: (T, V) log softmax.
        vocabulary: the V tokens.
        width: prefixes that are kept after each frame.
        language_model: of words; None for none.
        weight: of the language model; it and the bonus were chosen on the toy corpus' dev speakers.
        word_bonus: for each word where there is a language model, since every word costs probability.

    Returns:
        The texts that are left after the last frame, best first.
    """
    fusion = ShallowFusion(vocabulary, language_model, weight, word_bonus)
    beams: dict[tuple[int, ...], Beam] = {(): Beam(PrefixText(), in_blank=1.0)}
    scale = 0.0  # log of what probabilities have been divided by, so that long sounds do not end at 0
    for frame in log_probs.exp().tolist():
        least = min(LEAST_PROBABILITY, max(frame))
        candidates = [(token, p) for token, p in enumerate(frame) if p >= least]
        grown = extend_prefixes(beams, candidates, vocabulary.blank, fusion)
        best = heapq.nlargest(width, grown.items(), key=lambda item: item[1].score)
        most = max(beam.total for _, beam in best)
        scale += math.log(most)
        beams = {prefix: Beam(b.text, b.in_blank / most, b.in_token / most) for prefix, b in best if b.total}

    ends = defaultdict(list)  # text → log probabilities: prefixes that differ only in spaces are one text
    for beam in beams.values():
        ends[beam.text.all_words].append(scale + math.log(beam.total))
    found = [
        Hypothesis(" ".join(words), float(np.logaddexp.reduce(log_totals)) + fusion.whole(words))
        for words, log_totals in ends.items()
    ]
    return sorted(found, key=lambda hypothesis: hypothesis.score, reverse=True)


@dataclass(frozen=True, slots=True)
class PrefixText:
    """A beginning of a text in words."""

    words: tuple[str, ...] = ()  # that have ended
    partial: str = ""  # the one that is being written
    earned: float = 0.0  # score of the words that have ended
    score: float = 0.0  # the same, and what the partial one costs already

    @property
    def all_words(self) -> tuple[str, ...]:
        return (*self.words, self.partial) if self.partial else self.words


@dataclass(slots=True)
class Beam:
    """A beginning of a text, and the probability of its paths."""

    text: PrefixText
    in_blank: float = 0.0  # of the paths that end in the blank
    in_token: float = 0.0  # of those that end in its last token

    @property
    def total(self) -> float:
        return self.in_blank + self.in_token

    @property
    def score(self) -> float:
        return math.log(self.total) + self.text.score if self.total else -math.inf


def extend_prefixes(
    beams: dict[tuple[int, ...], Beam], candidates: list[tuple[int, float]], blank: int, fusion: ShallowFusion
) -> dict[tuple[int, ...], Beam]:
    """All prefixes, by their tokens, one frame later, each with the probability of all paths that lead to it."""
    grown: dict[tuple[int, ...], Beam] = {}
    for prefix, beam in beams.items():
        same = grown.setdefault(prefix, Beam(beam.text))
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
                grown[longer] = Beam(fusion.extended(beam.text, token))
            grown[longer].in_token += before * p
    return grown


class ShallowFusion:
    """What language model and word bonus add to a text."""

    def __init__(
        self, vocabulary: Vocabulary, language_model: NGramModel | None, weight: float, word_bonus: float
    ) -> None:
        self.model, self.weight, self.bonus = language_model, weight, word_bonus if language_model else 0.0
        self.delimiter = vocabulary.tokens.index(DELIMITER)
        self.written = [vocabulary.decode([token]) for token in range(len(vocabulary))]
        self.letter_cost = math.log(len(vocabulary))  # nats: an unknown word is any letters at all
        self.known = set(language_model.words) if language_model else set()
        self.prefixes = {word[:end] for word in self.known for end in range(len(word) + 1)}
        self.looked_up: dict[tuple[str, tuple[str, ...]], float] = {}  # log P(word | history): beams ask alike

    def extended(self, text: PrefixText, token: int) -> PrefixText:
        """The text with one more token."""
        if token != self.delimiter:
            partial = text.partial + self.written[token]
            cost = 0.0 if partial in self.prefixes else self._log_prob(partial, text.words)
            return PrefixText(text.words, partial, text.earned, text.earned + cost)
        if not text.partial:
            return text
        earned = text.earned + self.bonus + self._log_prob(text.partial, text.words)
        return PrefixText((*text.words, text.partial), "", earned, earned)

    def _log_prob(self, word: str, history: tuple[str, ...]) -> float:
        """log P(word | history), and the letters of an unknown word, times the weight."""
        if self.model is None:
            return 0.0
        known = word if word in self.known else UNKNOWN
        history = history[1 - self.model.order :]  # all that the model looks at
        if (known, history) not in self.looked_up:
            self.looked_up[known, history] = self.model.log_prob(known, history)
        letters = len(word) if known == UNKNOWN else 0
        return self.weight * (self.looked_up[known, history] - letters * self.letter_cost)

    def whole(self, words: tuple[str, ...]) -> float:
        """Of a whole text, its end included."""
        inner = sum(self.bonus + self._log_prob(word, words[:i]) for i, word in enumerate(words))
        return inner + self._log_prob(END, words)
