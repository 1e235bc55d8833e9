"""What is measured of an utterance does not depend on the utterances beside it."""

import pytest
import torch
from little_run import little_corpus

from w2v2_teach.heads import Wav2Vec2ForCTC
from w2v2_teach.speech.batching import padded_batches
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.tasks.asr import corpus_log_probs


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    return little_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.slow
@pytest.mark.parametrize("style", ["base_style", "large_style"])
def test_batch_mates_do_not_matter(style, little, request):
    model = Wav2Vec2ForCTC(request.getfixturevalue(style))
    together = corpus_log_probs(model, little.train)
    for utterance, log_probs in zip(little.train, together, strict=True):
        (alone,) = corpus_log_probs(model, Corpus("one", [utterance]))
        torch.testing.assert_close(log_probs, alone, atol=1e-4, rtol=0)


def test_group_norm_reads_one_utterance_at_a_time(base_style, large_style, little):
    sizes = [len(batch.ids) for batch in padded_batches(little.train, base_style)]
    assert sizes == [1] * 12
    assert [len(batch.ids) for batch in padded_batches(little.train, large_style)] == [12]
