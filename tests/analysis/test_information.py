"""Frames meet labels where they should, and information is counted as scikit-learn counts it."""

import numpy as np
import pytest
from sklearn.metrics import homogeneity_score, mutual_info_score

from w2v2_teach.analysis.information import count_pairs, entropy, phone_normalized_mutual_information
from w2v2_teach.config import BASE
from w2v2_teach.feature_encoder import frame_times
from w2v2_teach.speech.corpora import toy_speech
from w2v2_teach.speech.intervals import Interval, frame_labels, label_at

PHONES = [Interval(0.1, 0.2, "G"), Interval(0.2, 0.35, "OW"), Interval(0.5, 0.6, "L")]


def pnmi(labels, codes) -> float:
    return phone_normalized_mutual_information(count_pairs(labels, codes)[0])


def test_frame_times_by_hand(base_style):
    # BASE: windows of 400 samples every 320, so the first is centered on sample 200
    assert frame_times(BASE, 3).tolist() == pytest.approx([0.0125, 0.0325, 0.0525])
    # 40 samples every 80
    assert (16_000 * frame_times(base_style, 3)).tolist() == pytest.approx([20, 100, 180])
    assert frame_times(BASE, 0).shape == (0,)


def test_frame_labels_by_hand():
    times = np.array([0.05, 0.1, 0.15, 0.2, 0.34, 0.35, 0.4, 0.5, 0.59, 0.6, 9.0])
    assert frame_labels(PHONES, times).tolist() == ["", "G", "G", "OW", "OW", "", "", "L", "L", "", ""]


def test_frame_labels_are_those_of_label_at():
    utterance = toy_speech()[0]
    times = frame_times(BASE, BASE.frame_lengths(utterance.num_samples))
    assert len(times) > 100
    for intervals in (utterance.phones, utterance.words):
        labels = frame_labels(intervals, times).tolist()
        assert labels == [label_at(intervals, time) for time in times]
    assert set(frame_labels(utterance.phones, times)) - {""} <= {phone.label for phone in utterance.phones}


def test_pairs_by_hand():
    counts, labels, codes = count_pairs(["b", "a", "b", "b"], [7, 3, 3, 7])
    assert (labels.tolist(), codes.tolist()) == (["a", "b"], [3, 7])
    assert counts.tolist() == [[1, 0], [1, 2]]


def test_entropy_by_hand():
    assert entropy(np.array([5, 5, 5, 5])) == pytest.approx(np.log(4))
    assert entropy(np.array([[1, 0], [0, 1]])) == pytest.approx(np.log(2))
    assert entropy(np.array([3, 1])) == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    assert entropy(np.array([0, 9, 0])) == 0


def test_entropy_along_an_axis_is_that_of_each_row():
    counts = np.array([[1, 1, 0], [0, 2, 0], [1, 1, 1]])
    assert entropy(counts, axis=1) == pytest.approx([entropy(row) for row in counts])
    assert entropy(counts, axis=0) == pytest.approx([entropy(column) for column in counts.T])
    assert entropy(counts / counts.sum(), axis=None) == pytest.approx(entropy(counts))


def test_pnmi_by_hand():
    # H(phone) = ln 2; knowing the code leaves half of the frames with one of two phones: ln 2 / 2 is explained
    assert pnmi("a a a b b b".split(), [0, 1, 1, 1, 1, 2]) == pytest.approx(1 / 3)
    assert pnmi("a a b b".split(), [0, 2, 2, 1]) == pytest.approx(1 / 2)


def test_pnmi_is_scikit_learns_mutual_information_over_the_phones_entropy():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 7, 500)
    codes = (labels + generator.integers(0, 5, 500)) % 11
    _, counts = np.unique(labels, return_counts=True)
    assert pnmi(labels, codes) == pytest.approx(mutual_info_score(labels, codes) / entropy(counts), abs=1e-12)
    assert pnmi(labels, codes) == pytest.approx(homogeneity_score(labels, codes), abs=1e-12)
    assert pnmi(codes, labels) != pytest.approx(pnmi(labels, codes)), "whose entropy is the measure matters"


def test_codes_that_tell_the_phone_explain_all_and_those_of_chance_nothing():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 8, 20_000)
    assert pnmi(labels, 2 * labels + generator.integers(0, 2, len(labels))) == pytest.approx(1), "two codes a phone"
    assert 0 <= pnmi(labels, generator.integers(0, 8, len(labels))) < 0.002
    assert pnmi(labels, np.zeros(len(labels), dtype=int)) == pytest.approx(0)
