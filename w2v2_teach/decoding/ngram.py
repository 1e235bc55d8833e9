"""A word n-gram language model."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

START, END, UNKNOWN = "<s>", "</s>", "<unk>"  # of a sentence; and any word that the training texts do not have


class NGramModel:
    """Probability of the next word given the n - 1 before it, by interpolated smoothing (Witten & Bell 1991).

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
        return math.log(self._probability(word if word in self.counts[()] else UNKNOWN, tuple(context)))

    def _probability(self, word: str, context: tuple[str, ...]) -> float:
        shorter = self._probability(word, context[1:]) if context else 1 / len(self.words)
        if context not in self.counts:
            return shorter
        counts = self.counts[context]
        seen, different = counts.total(), len(counts)
        return (counts[word] + different * shorter) / (seen + different)
