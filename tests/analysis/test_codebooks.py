"""Tables of codes: what a reader counts by hand, and what scikit-learn counts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from little_run import CONFIG
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from w2v2_teach.analysis.codebooks import (
    PHONE_CLASSES,
    conditional,
    conditional_entropies,
    corpus_codes,
    dwell_times,
    frame_codes,
    ngrams,
    pair_usage,
    phone_class,
    purity,
    usage,
    usage_by,
    without_repeats,
)
from w2v2_teach.analysis.information import count_pairs, entropy, phone_normalized_mutual_information
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.reference import transformers_config
from w2v2_teach.speech.audio import normalize
from w2v2_teach.speech.corpora import Corpus, toy_speech
from w2v2_teach.speech.intervals import label_at

# 10 frames: phones a a a b b b b c c c; code 3 is never chosen
COUNTS = np.array([[3, 0, 0, 0], [1, 2, 1, 0], [0, 0, 3, 0]])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return Wav2Vec2ForPreTraining(replace(CONFIG, hidden_dropout=0.3, feat_quantizer_dropout=0.3))


def test_codes_come_in_the_order_of_the_corpus(model, corpus, monkeypatch):
    monkeypatch.setattr("w2v2_teach.speech.batching.BATCH_SIZE", 3)
    codes = frame_codes(model, corpus)
    assert len(codes) == len(corpus)
    for utterance, found in zip(corpus, codes, strict=True):
        assert found.shape == (CONFIG.frame_lengths(utterance.num_samples), 2)
        assert np.array_equal(found, model.codes(normalize(utterance.waveform())[None])[0].numpy())
    assert 0 <= min(c.min() for c in codes) <= max(c.max() for c in codes) < 8


def test_every_frame_of_the_corpus_knows_where_it_comes_from(model, corpus):
    coded = corpus_codes(model, corpus)
    assert coded.entries == 8
    start = 0
    for i, (utterance, codes) in enumerate(zip(corpus, frame_codes(model, corpus), strict=True)):
        here = slice(start, start + len(codes))
        middles = [(80 * t + 20) / 16_000 for t in range(len(codes))]
        assert np.array_equal(coded.codes[here], codes)
        assert coded.phones[here].tolist() == [label_at(utterance.phones, time) for time in middles]
        assert coded.words[here].tolist() == [label_at(utterance.words, time) for time in middles]
        assert set(coded.speakers[here]) == {utterance.speaker}
        assert set(coded.utterances[here]) == {i}
        assert coded.frames[here].tolist() == list(range(len(codes)))
        start += len(codes)
    assert start == len(coded.codes)
    for back, codes in zip(coded.by_utterance(coded.codes), frame_codes(model, corpus), strict=True):
        assert np.array_equal(back, codes)
    assert np.array_equal(coded.joined, coded.codes[:, 0] + 8 * coded.codes[:, 1])


def test_speech_without_labels_has_codes_all_the_same(model, corpus):
    coded = corpus_codes(model, Corpus("unlabeled", [replace(corpus[0], phones=(), words=())]))
    assert set(coded.phones) == set(coded.words) == {""}
    assert len(coded.codes) == len(coded.phones) > 10


@pytest.mark.parametrize("style", ["base_style", "large_style"])
def test_published_checkpoints_are_coded_as_transformers_codes_them(style, request, tmp_path, corpus):
    config = replace(request.getfixturevalue(style), num_codevectors_per_group=8, codevector_dim=16)
    theirs = transformers.Wav2Vec2ForPreTraining(transformers_config(config)).eval()
    theirs.save_pretrained(tmp_path)
    one = Corpus("one", [corpus[0]])
    coded = corpus_codes(Wav2Vec2ForPreTraining.from_pretrained(tmp_path), one)
    with torch.no_grad():
        z = theirs.wav2vec2(normalize(corpus[0].waveform())[None]).extract_features  # (1, T, C)
        chosen = theirs.quantizer.weight_proj(z).view(-1, 2, 8).argmax(dim=2)  # (T, G)
    assert np.array_equal(coded.codes, chosen.numpy())


def test_usage_by_hand():
    codes = np.array([[0, 3], [0, 1], [2, 1]])
    assert usage(codes, 4).tolist() == [[2, 0, 1, 0], [0, 2, 0, 1]]
    pairs = pair_usage(codes, 4)
    assert pairs.sum() == 3
    assert pairs[0, 3] == pairs[0, 1] == pairs[2, 1] == 1
    with pytest.raises(ValueError, match="G = 3"):
        pair_usage(np.zeros((5, 3), dtype=int), 4)


def test_usage_by_label_adds_up_to_usage():
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 6, (200, 2))
    speakers = generator.choice(["ann", "bob", "eve"], 200)
    counts, names = usage_by(speakers, codes, 7)
    assert names.tolist() == ["ann", "bob", "eve"]
    assert counts.shape == (3, 2, 7)
    assert np.array_equal(counts.sum(axis=0), usage(codes, 7))
    assert np.array_equal(counts[1], usage(codes[speakers == "bob"], 7))
    assert counts[:, :, 6].sum() == 0, "an entry that nobody chose keeps its column"


def test_conditional_by_hand():
    phone_given_code = conditional(COUNTS)
    assert phone_given_code.p[:, :3].T.tolist() == [[0.75, 0.25, 0], [0, 1, 0], [0, 0.25, 0.75]]
    assert np.isnan(phone_given_code.p[:, 3]).all(), "a code that never occurs says nothing, not 'no phone'"
    assert phone_given_code.frames.tolist() == [4, 2, 4, 0], "P = 1 for code 1, out of two frames"
    code_given_phone = conditional(COUNTS.T)
    assert code_given_phone.p.T.tolist() == [[1, 0, 0, 0], [0.25, 0.5, 0.25, 0], [0, 0, 1, 0]]
    assert np.array_equal(code_given_phone.counts, COUNTS.T)


def test_purity_by_hand():
    # the best guess is right in 3 + 2 + 3 of 10 frames from the code, in 3 + 2 + 3 from the phone
    assert purity(COUNTS) == pytest.approx((0.8, 0.8))
    split = np.array([[3, 1, 0], [0, 0, 6]])  # one phone has two codes
    assert purity(split) == pytest.approx((1.0, 0.9))
    assert purity(split.T) == pytest.approx((0.9, 1.0))


def test_tables_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    phones = generator.integers(0, 7, 500)
    codes = (phones + generator.integers(0, 5, 500)) % 11
    table = contingency_matrix(phones, codes)
    counts = count_pairs(phones, codes)[0]
    assert np.array_equal(counts, table)
    assert purity(counts).phone == pytest.approx(table.max(axis=0).sum() / 500)
    told = mutual_info_score(phones, codes)
    assert conditional_entropies(counts) == pytest.approx(
        (entropy(table.sum(axis=1)) - told, entropy(table.sum(axis=0)) - told)
    )


def test_unused_codes_change_no_number():
    with_empty = np.insert(COUNTS, 0, 0, axis=1)
    for measure in (purity, conditional_entropies, phone_normalized_mutual_information):
        assert measure(with_empty) == pytest.approx(measure(COUNTS[:, :3]))


def test_conditional_entropies_by_hand():
    # code 0: three of four frames one phone; code 1 sure; code 2 as code 0
    unsure = -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    assert conditional_entropies(COUNTS).row_given_column == pytest.approx(0.8 * unsure)
    assert conditional_entropies(COUNTS).column_given_row == pytest.approx(0.4 * 1.5 * np.log(2))


def test_dwell_times_end_with_the_utterance():
    a, b = np.array([5, 5, 5, 2, 5]), np.array([5, 5])
    assert dwell_times([a, b]).tolist() == [3, 1, 1, 2]
    both = np.array([[1, 1], [1, 2], [1, 2], [3, 2]])
    assert dwell_times([both]).tolist() == [1, 2, 1], "a run of a pair ends where either code changes"
    assert dwell_times([both[:, 0]]).tolist() == [3, 1]
    assert dwell_times([np.array(["sil", "sil", "S"])]).tolist() == [2, 1]


def test_without_repeats():
    assert without_repeats(np.array([5, 5, 2, 2, 5])).tolist() == [5, 2, 5]
    assert without_repeats(np.array([[1, 1], [1, 2], [1, 2]])).tolist() == [[1, 1], [1, 2]]


def test_ngrams_do_not_reach_across_utterances():
    a, b = np.array([1, 2, 3, 1, 2]), np.array([3, 1])
    assert ngrams([a, b], 2, 2) == [((1, 2), 2), ((3, 1), 2)]
    assert dict(ngrams([a, b], 2, 9)) == {(1, 2): 2, (2, 3): 1, (3, 1): 2}
    assert ngrams([np.array([[1, 4], [2, 4]])], 2, 1) == [(((1, 4), (2, 4)), 1)]
    assert ngrams([b], 3, 5) == []


def test_every_phone_of_the_bundled_corpus_has_a_class():
    labels = {phone.label for utterance in toy_speech() for phone in utterance.phones}
    assert {phone_class(label) for label in labels} == set(PHONE_CLASSES)
    assert labels == set(" ".join(PHONE_CLASSES.values()).split()), "and no class has a phone too many"
    with pytest.raises(ValueError, match="'iy' is no phone"):
        phone_class("iy")
