"""Trials, both error rates at every threshold, and the equal error rate, by hand."""

import numpy as np
import pytest

from w2v2_teach.analysis.verification import (
    Trials,
    all_pairs,
    detection_errors,
    equal_error_rate,
    error_rates_at,
    interval,
    resampled_equal_error_rates,
)


def trials(same: list[float], different: list[float]) -> Trials:
    return Trials(np.array(same + different), np.array([True] * len(same) + [False] * len(different)))


def random_trials(seed: int, ties: bool = False) -> Trials:
    generator = np.random.default_rng(seed)
    scores = np.concatenate([generator.normal(1, 1, 60), generator.normal(-1, 1, 140)])
    return Trials(scores.round(1) if ties else scores, np.arange(200) < 60)


def test_every_pair_comes_once_with_its_cosine():
    embeddings = np.array([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [5.0, 0.0]])
    scores, is_same = all_pairs(embeddings, ["a", "b", "b", "a"])
    assert scores.tolist() == [0, -1, 1, 0, 0, -1]  # 01 02 03 12 13 23
    assert is_same.tolist() == [False, False, True, True, False, False]


def test_how_many_pairs():
    generator = np.random.default_rng(0)
    scores, is_same = all_pairs(generator.normal(size=(160, 3)), [f"s{i % 4}" for i in range(160)])
    assert len(scores) == 160 * 159 // 2 == 12_720
    assert is_same.sum() == 4 * (40 * 39 // 2)


def test_errors_by_hand():
    errors = detection_errors(trials(same=[0.9, 0.6, 0.4], different=[0.5, 0.1]))
    assert errors.thresholds.tolist() == [0.4, 0.5, 0.6]  # from no false reject to no false accept
    np.testing.assert_allclose(errors.false_accepts, [0.5, 0.5, 0])
    np.testing.assert_allclose(errors.false_rejects, [0, 1 / 3, 1 / 3])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_errors_are_those_of_each_threshold(seed, ties):
    pairs = random_trials(seed, ties)
    errors = detection_errors(pairs)
    for threshold, accepts, rejects in zip(*errors, strict=True):
        assert error_rates_at(pairs, threshold) == pytest.approx((accepts, rejects))
    assert errors.false_rejects[0] == errors.false_accepts[-1] == 0


@pytest.mark.parametrize(
    ("same", "different", "rate"),
    [
        ([0.9, 0.8], [0.1, 0.2], 0.0),  # nothing in common
        ([0.1, 0.2], [0.9, 0.8], 1.0),  # the wrong way round
        ([0.1, 0.9], [0.1, 0.9], 0.5),  # no difference
        ([0.9, 0.8, 0.7, 0.3], [0.1, 0.2, 0.4, 0.25], 0.25),  # one of four on each side
        ([0.5], [0.5], 0.5),  # one score for all
        ([0.5, 0.1], [0.9, 0.3], 0.5),  # the best score is one of two speakers: no finite threshold refuses it
    ],
)
def test_equal_error_rate_by_hand(same, different, rate):
    found, threshold = equal_error_rate(detection_errors(trials(same, different)))
    assert found == pytest.approx(rate)
    assert np.isfinite(threshold)


@pytest.mark.parametrize("seed", range(5))
def test_at_the_threshold_of_the_equal_error_rate_both_are_alike(seed):
    pairs = random_trials(seed)
    rate, threshold = equal_error_rate(detection_errors(pairs))
    accepts, rejects = error_rates_at(pairs, threshold)
    one_pair = 1 / pairs.is_same.sum()
    assert abs(accepts - rejects) <= one_pair
    assert min(accepts, rejects) - one_pair <= rate <= max(accepts, rejects) + one_pair


def test_scores_may_be_scaled():
    pairs = random_trials(7)
    rate, _ = equal_error_rate(detection_errors(pairs))
    assert equal_error_rate(detection_errors(Trials(3 * pairs.scores - 8, pairs.is_same)))[0] == pytest.approx(rate)


def test_one_kind_of_pairs_alone_is_refused():
    with pytest.raises(ValueError, match="2 pairs of one speaker and 0 of two"):
        detection_errors(trials([0.1, 0.2], []))


def recordings(spread: float, speakers: int = 6, each: int = 5) -> tuple[np.ndarray, list[str]]:
    """(n, 4) embeddings of speakers, and who they are."""
    generator = np.random.default_rng(3)
    voices = generator.normal(size=(speakers, 1, 4))
    embeddings = voices + spread * generator.normal(size=(speakers, each, 4))
    return embeddings.reshape(-1, 4), [f"s{i}" for i in range(speakers) for _ in range(each)]


def test_an_interval_over_speakers_is_that_of_corpora_made_of_drawn_speakers():
    """The trials of each draw, pair by pair: a speaker who is drawn twice is two rows, without pairs between them."""
    embeddings, speakers = recordings(spread=0.7)
    names, generator, rates = sorted(set(speakers)), np.random.default_rng(5), []
    scores = all_pairs(embeddings, speakers).scores
    pairs = list(zip(*np.triu_indices(len(speakers), k=1), strict=True))
    for _ in range(20):
        drawn = [names[i] for i in generator.integers(len(names), size=len(names))]
        same, different = [], []
        for score, (a, b) in zip(scores, pairs, strict=True):
            times = drawn.count(speakers[a]) * (1 if speakers[a] == speakers[b] else drawn.count(speakers[b]))
            (same if speakers[a] == speakers[b] else different).extend([score] * times)
        rates.append(equal_error_rate(detection_errors(trials(same, different)))[0])
    found = resampled_equal_error_rates(embeddings, speakers, draws=20, seed=5)
    assert found == pytest.approx(np.array(rates), abs=0.01)


def test_an_interval_holds_the_rate_and_is_wider_with_fewer_speakers():
    embeddings, speakers = recordings(spread=0.8, speakers=24)
    rate, _ = equal_error_rate(detection_errors(all_pairs(embeddings, speakers)))
    low, high = interval(resampled_equal_error_rates(embeddings, speakers, draws=300))
    assert 0 < low < rate < high < 0.5
    fewer_low, fewer_high = interval(resampled_equal_error_rates(embeddings[:30], speakers[:30], draws=300))
    assert fewer_high - fewer_low > high - low


def test_speakers_whom_nobody_confuses_have_no_spread():
    assert interval(resampled_equal_error_rates(*recordings(spread=1e-3), draws=50)) == (0, 0)


def test_two_embeddings_are_compared_on_the_same_drawn_speakers():
    """A draw is worse or better for both: their difference spreads far less than either of them."""
    embeddings, speakers = recordings(spread=0.8, speakers=24)
    noise = np.random.default_rng(1).normal(size=embeddings.shape)
    one, other = (resampled_equal_error_rates(x, speakers, draws=200) for x in (embeddings, embeddings + 0.05 * noise))
    assert np.std(one - other) < 0.5 * np.std(one)


def test_a_draw_of_a_single_speaker_is_left_out_of_the_interval():
    rates = resampled_equal_error_rates(np.eye(4), ["a", "a", "b", "b"], draws=50)  # half of the draws: one speaker
    assert 10 < np.isnan(rates).sum() < 40
    assert np.isfinite(interval(rates)).all()
