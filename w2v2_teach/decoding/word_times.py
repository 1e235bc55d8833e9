"""When each word is said, from the forced alignment of its letters."""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from w2v2_teach.config import SAMPLE_RATE, Wav2Vec2Config
from w2v2_teach.ctc import TokenSpan
from w2v2_teach.decoding.vocabulary import DELIMITER, Vocabulary
from w2v2_teach.feature_encoder import receptive_field

SPREAD = 2  # frames of 20 ms; chosen on the toy corpus' dev speakers, where 1 to 3 do about as well


class Word(NamedTuple):
    """A word and when it is said."""

    start: float  # s
    end: float  # s
    text: str
    confidence: float  # product of its letters' probabilities: that all are right, if they err independently


def word_times(spans: Sequence[TokenSpan], vocabulary: Vocabulary, config: Wav2Vec2Config) -> list[Word]:
    """Words with their times, from the alignment of their letters.

    A letter's span is a frame or two somewhere in its sound. So a word reaches up to `SPREAD` frames beyond its first
    and last letter; neighbors that are closer share what is between them. The space has no sound: where its span lies
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
        confidence = math.prod(span.confidence for span in letters)
        words.append(Word(_edge(start, config), _edge(end, config), text, confidence))
    return words


def _edge(frame: float, config: Wav2Vec2Config) -> float:
    """Where a frame begins, in seconds: half a hop before the middle of what it sees."""
    field = receptive_field(config)[-1]
    return (frame * field.hop + (field.samples - field.hop) / 2) / SAMPLE_RATE
