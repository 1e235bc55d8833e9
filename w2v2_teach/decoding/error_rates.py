"""How far a transcript is from the reference: word and character error rates, errors of word boundaries."""

from collections.abc import Sequence

import jiwer
import numpy as np

from w2v2_teach.speech.intervals import Interval


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
