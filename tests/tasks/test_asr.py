"""What is measured of a recognizer is what it says of each utterance alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from little_run import CONFIG, little_corpus
from torch import nn

from w2v2_teach.ctc import CTCError
from w2v2_teach.decoding.beam_search import beam_search
from w2v2_teach.decoding.ngram import NGramModel
from w2v2_teach.decoding.vocabulary import Vocabulary, VocabularyError
from w2v2_teach.feature_encoder import frame_times
from w2v2_teach.heads import CTCOutput, Wav2Vec2ForCTC
from w2v2_teach.speech.audio import normalize
from w2v2_teach.speech.by_name import joined
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.speech.intervals import Interval
from w2v2_teach.tasks.asr import (
    TINY_ASR_RECIPE,
    SpeechRecognition,
    alignment_errors,
    corpus_log_probs,
    evaluate_asr,
    likeliest_text,
    recognition_metrics,
    transcripts,
)
from w2v2_teach.tasks.finetuning import MicroBatch


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Seven utterances of different lengths, in no order; all say "ah ee"."""
    utterances = little_corpus(tmp_path_factory.mktemp("corpus")).train
    return Corpus("ragged", [utterances[i] for i in (4, 0, 9, 2, 11, 7, 5)])


VOCABULARY = Vocabulary.from_texts(["ah ee"])


class KnowsBetter(nn.Module):
    """Says what it is told, each letter in a frame of its own, `spread` frames apart, whatever it hears."""

    def __init__(self, text: str, spread: int = 3) -> None:
        super().__init__()
        self.config, self.text, self.spread = CONFIG, text, spread
        self.unused = nn.Parameter(torch.zeros(()))  # by which its device is told

    def forward(self, input_values, attention_mask):
        frames = CONFIG.frame_lengths(attention_mask.sum(dim=1))  # (B,)
        tokens = torch.zeros(len(input_values), int(frames.max()), dtype=torch.long)
        for u, token in enumerate(VOCABULARY.encode(self.text)):
            tokens[:, 1 + self.spread * u] = token
        logits = 9.0 * nn.functional.one_hot(tokens, len(VOCABULARY))
        return CTCOutput(logits, torch.arange(int(frames.max())) < frames[:, None])


def test_log_probs_in_batches_are_those_of_each_utterance_alone(corpus, monkeypatch):
    monkeypatch.setattr("w2v2_teach.speech.batching.BATCH_SIZE", 3)
    torch.manual_seed(1)
    model = Wav2Vec2ForCTC(replace(CONFIG, vocab_size=len(VOCABULARY)))
    together = corpus_log_probs(model, corpus)
    assert not model.training
    for utterance, log_probs in zip(corpus, together, strict=True):
        alone = model(normalize(utterance.waveform())[None]).log_probs[0]
        torch.testing.assert_close(log_probs, alone, atol=1e-5, rtol=1e-4)


def test_error_rates_by_hand(corpus):
    assert recognition_metrics(KnowsBetter("ah ee"), VOCABULARY, corpus) == {"wer": 0, "cer": 0}
    wrong = recognition_metrics(KnowsBetter("ah he"), VOCABULARY, corpus)
    assert wrong == {"wer": pytest.approx(1 / 2), "cer": pytest.approx(1 / 5)}


def test_a_language_model_changes_what_is_heard(corpus):
    model = KnowsBetter("ah he")
    metrics = recognition_metrics(model, VOCABULARY, corpus, NGramModel.from_texts(["ah ee"] * 20))
    assert {"wer", "cer", "beam_wer", "beam_cer"} == metrics.keys()
    unsure = [log_probs / 9 for log_probs in corpus_log_probs(model, corpus)]
    heard = transcripts([x.log_softmax(dim=-1) for x in unsure], VOCABULARY, NGramModel.from_texts(["ah ee"] * 20))
    assert heard != transcripts(unsure, VOCABULARY)


def test_alignment_errors_are_distances_from_the_true_times(corpus):
    times = frame_times(CONFIG, 20)
    words = (Interval(times[1], times[4] + 0.01, "ah"), Interval(times[10] - 0.02, times[13], "ee"))
    timed = Corpus("timed", (replace(utterance, words=words) for utterance in corpus))
    errors = alignment_errors(KnowsBetter("ah ee"), VOCABULARY, timed)
    assert errors.shape == (4 * len(corpus),)
    assert np.all(errors < 0.05), "the words are where the letters are"
    shifted = tuple(Interval(w.start + 0.1, w.end + 0.1, w.label) for w in words)
    later = Corpus("later", (replace(utterance, words=shifted) for utterance in corpus))
    assert np.median(alignment_errors(KnowsBetter("ah ee"), VOCABULARY, later)) == pytest.approx(
        0.1, abs=np.median(errors) + 0.02
    )


def test_a_recognizer_is_evaluated_as_a_whole(corpus):
    times = (Interval(0.0, 0.1, "ah"), Interval(0.1, 0.2, "ee"))
    timed = Corpus("timed", (replace(u, words=times, split="train" if i < 2 else "test") for i, u in enumerate(corpus)))
    human = Corpus("human", (replace(u, text="ah eh" if i % 2 else u.text) for i, u in enumerate(timed)))
    digits = Corpus("digits", (replace(u, text="ee" if i < 4 else "ah ee") for i, u in enumerate(corpus)))
    results = evaluate_asr(KnowsBetter("ah ee"), VOCABULARY, timed, human, digits)
    assert results["wer"] == results["beam_wer"] == 0
    assert results["empty_wer"] == results["human_empty_cer"] == 1
    assert results["words"] == results["human_words"] == 2 * 5
    assert results["human_wer"] == pytest.approx(2 / 10), "every second sentence of five has another word"
    assert results["median_boundary_error"] == np.median(
        alignment_errors(KnowsBetter("ah ee"), VOCABULARY, timed.split("test"))
    )
    assert results["fsdd_accuracy"] == pytest.approx(3 / 7)
    assert results["fsdd_most_frequent"] == pytest.approx(4 / 7)
    table = results["reliability"]["human"]
    assert (table["words"], [b["share_right"] for b in table["bins"]]) == (10, [0.8])
    assert results["human_confidence_error"] == table["expected_calibration_error"]


@pytest.mark.parametrize("seed", range(5))
def test_the_likeliest_text_is_that_of_the_exhaustive_beam(seed):
    torch.manual_seed(seed)
    logits = torch.randn(4, len(VOCABULARY))
    logits[:, VOCABULARY.tokens.index("|")] = -30.0  # beams that differ in spaces at their ends are one text
    log_probs = logits.log_softmax(dim=-1)
    texts = ["ah", "ee", "he", "a", "eeehaa"]  # the second needs a blank between equal neighbors, the last six frames
    scores = {hypothesis.text: hypothesis.score for hypothesis in beam_search(log_probs, VOCABULARY, width=10_000)}
    assert likeliest_text(log_probs, texts, VOCABULARY) == max(texts[:-1], key=scores.__getitem__)


# --- training ---------------------------------------------------------------------------------------------------------


def test_each_corpus_has_error_rates_of_its_own(corpus):
    other = Corpus("other/dev", (replace(u, id=f"{u.id}b", text="ah he") for u in corpus))
    training = task(joined([Corpus("one/dev", corpus), other]))
    training.model = KnowsBetter("ah ee")
    metrics = training.evaluate()
    assert metrics["one_wer"] == 0
    assert (metrics["wer"], metrics["other_wer"]) == (1 / 4, 1 / 2)
    assert task(corpus).evaluate().keys() == {"wer", "cer"}


def test_a_checkpoint_knows_how_sure_it_may_be(corpus, tmp_path, monkeypatch):
    training = task(corpus)
    before = training.fingerprint()
    monkeypatch.setattr("w2v2_teach.tasks.asr.fit_temperature", lambda *_: 2.5)
    training.export(tmp_path)
    assert Wav2Vec2ForCTC.from_pretrained(tmp_path).config.ctc_temperature == 2.5
    assert training.model.training
    assert training.fingerprint() == before, "a run that is resumed is the same run"


# --- transcripts that do not fit their audio -------------------------------------------------------------------------


def task(corpus: Corpus, **settings) -> SpeechRecognition:
    torch.manual_seed(0)
    model = Wav2Vec2ForCTC(replace(CONFIG, vocab_size=len(VOCABULARY)))
    return SpeechRecognition(model, VOCABULARY, replace(TINY_ASR_RECIPE, batch_size=2, **settings), corpus, corpus)


def with_texts(corpus: Corpus, *texts: str) -> Corpus:
    return Corpus("texts", (replace(u, text=text) for u, text in zip(corpus, texts, strict=False)))


def test_all_transcripts_that_are_longer_than_their_frames_are_listed_at_once(corpus):
    frames = [CONFIG.frame_lengths(utterance.num_samples) for utterance in corpus]
    fits = "ah" * (frames[0] // 2) + "e" * (frames[0] % 2)
    texts = [fits, "a" * frames[1], "ah" * frames[2]]  # equal neighbors need a blank between them
    with pytest.raises(CTCError) as caught:
        task(with_texts(corpus, *texts))
    message = str(caught.value)
    assert message.startswith("texts: 2 transcripts need more frames than their audio has; correct or remove them: ")
    assert f"{corpus[1].id} ({2 * frames[1] - 1} needed, {frames[1]} there)" in message
    assert f"{corpus[2].id} ({2 * frames[2]} needed, {frames[2]} there)" in message
    assert corpus[0].id not in message
    task(with_texts(corpus, fits, "ah"))
    with pytest.raises(CTCError, match=r"than their audio has when they are 1\.2 times as fast"):
        task(with_texts(corpus, fits, "ah"), speed=0.2)


def test_a_character_without_a_token_is_named_before_training(corpus):
    with pytest.raises(VocabularyError, match="no token for 'x' in 'axe'"):
        task(with_texts(corpus, "ah", "axe"))


@pytest.mark.parametrize("texts", [("", "ah ee"), ("ah ee", ""), ("", "")])
def test_an_empty_text_anywhere_in_its_batch_has_a_loss(corpus, texts):
    training = task(with_texts(corpus, *texts))
    batch = training.dataset[0]
    inputs = {"input_values": batch.input_values, "attention_mask": batch.attention_mask}
    training.model.eval()
    together = training.losses(training.model, MicroBatch(inputs, batch.utterances)).loss
    alone = sum(
        training.losses(
            training.model,
            MicroBatch({"input_values": normalize(u.waveform())[None], "attention_mask": None}, [u]),
        ).loss
        for u in batch.utterances
    )
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-4)
    assert training.items(batch.utterances) >= 1
