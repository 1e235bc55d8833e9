"""`w2v2-teach finetune` and `evaluate`: what they leave on disk, say on the screen, and refuse in one sentence."""

import json
import re
from dataclasses import replace

import pytest
import torch
from command_line import invoke
from little_run import CONFIG, write_corpus

from w2v2_teach.decoding.vocabulary import Vocabulary
from w2v2_teach.heads import Wav2Vec2ForCTC
from w2v2_teach.model import Wav2Vec2ForPreTraining, Wav2Vec2Model
from w2v2_teach.speech import corpora, published
from w2v2_teach.speech.corpora import Corpus, read_tables
from w2v2_teach.speech.intervals import Interval
from w2v2_teach.tasks import evaluate_checkpoint
from w2v2_teach.training.run_folder import read_metrics

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = "--updates 4 --batch-size 4 --warmup-updates 1 --hold-updates 1 --freeze-context-updates 1 --workers 0".split()
SHORT += "--mask-feature-length 4 --log-every 1 --evaluate-every 4".split()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("pretrained")
    Wav2Vec2ForPreTraining(CONFIG).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def finetune(corpus, pretrained):
    def run(out, *args):
        words = ["finetune", "asr", "--corpus", str(corpus), "--from", str(pretrained), "--out", str(out)]
        return invoke(*words, *SHORT, *args)

    return run


@pytest.fixture(scope="module")
def recognizer(finetune, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    result = finetune(out)
    assert result.exit_code == 0, result.stderr
    return out


def test_it_leaves_a_checkpoint_with_its_vocabulary_and_a_log(recognizer, pretrained):
    model = Wav2Vec2ForCTC.from_pretrained(recognizer / "model")
    assert Vocabulary.load(recognizer / "model" / "vocab.json").tokens == ("<pad>", "|", "a", "e", "h")
    assert model.config.vocab_size == 5
    log = read_metrics(recognizer / "metrics.jsonl")
    assert [line["update"] for line in log] == [1, 2, 3, 4]
    assert [line["trained_layers"] for line in log] == [1, 3, 3, 3]
    assert {"loss", "blank_share", "dev_wer", "dev_cer"} <= log[-1].keys()
    encoder = Wav2Vec2Model.from_pretrained(pretrained).feature_extractor.state_dict()
    ours = model.wav2vec2.feature_extractor.state_dict()
    assert all(torch.equal(encoder[name], ours[name]) for name in encoder), "it was frozen"


def test_a_run_that_is_there_is_not_overwritten_and_is_resumed_on_request(finetune, recognizer):
    again = finetune(recognizer)
    assert again.exit_code == 1
    assert "already holds a run" in again.stderr
    assert finetune(recognizer, "--resume").exit_code == 0
    other = finetune(recognizer, "--resume", "--dropout", "0.3")
    assert other.exit_code == 1
    assert "dropout was 0.1 and is 0.3" in other.stderr


def test_several_corpora_and_no_long_utterances(finetune, tmp_path):
    other = write_corpus(tmp_path / "other")
    for table in ("utterances", "phones", "words"):
        path = other / f"{table}.tsv"
        path.write_text(re.sub(r"^(train|dev)", r"other-\1", path.read_text(), flags=re.MULTILINE))
    result = finetune(tmp_path / "run", "--corpus", str(other), "--shares", "1", "3", "--longest-seconds", "0.35")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "6 of 24 utterances are left out: longer than 0.35 s.\n"
    assert {"dev_wer", "dev_other_wer"} <= read_metrics(tmp_path / "run" / "metrics.jsonl")[-1].keys()


@pytest.fixture(scope="module")
def spoken_numbers(tmp_path_factory):
    """In every utterance two keywords, one after the other, by two speakers in each part."""
    folder = write_corpus(tmp_path_factory.mktemp("numbers"))
    rows = [line.split("\t") for line in (folder / "utterances.tsv").read_text().splitlines()]
    lines = ["id\tstart\tend\tword"]
    for row in rows[1:]:
        row[1] += f" {int(row[0][-1]) % 2}"
        middle, end = int(row[4]) / 32_000, int(row[4]) / 16_000
        lines += [f"{row[0]}\t0.0\t{middle}\tone", f"{row[0]}\t{middle}\t{end}\ttwo"]
    (folder / "utterances.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    (folder / "words.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(("task", "metric"), [("speaker", "dev_eer"), ("keyword", "dev_accuracy")])
def test_speakers_and_keywords_are_learned_by_the_command_line_too(task, metric, spoken_numbers, pretrained, tmp_path):
    words = ["finetune", task, "--corpus", spoken_numbers, "--from", pretrained, "--out", tmp_path / "run"]
    if task == "speaker":
        words += ["--crop-seconds", "0.1"]
    result = invoke(*words, *SHORT)
    assert (result.exit_code, result.stdout) == (0, ""), result.stderr
    assert metric in read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_settings_that_are_switches_can_be_switched_off(finetune, tmp_path):
    assert finetune(tmp_path, "--no-freeze-encoder").exit_code == 0
    assert [line["trained_layers"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 4, 4, 4]


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--minutes", "9"], "minutes; 9 are wanted"),
        (["--minutes", "0.01"], "batch_size=4 asks for more"),
        (["--from", "nowhere/at-all"], "nowhere/at-all is no folder"),
        (["--rate-decay", "2"], "rate_decay is 2.0; it must be in (0, 1]."),
        (["--corpus", "not-there"], "not-there"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(finetune, tmp_path, args, complaint):
    result = finetune(tmp_path / "run", *args)
    assert result.exit_code == 1
    assert complaint in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_recognizer_is_evaluated_by_its_head(corpus, recognizer, tmp_path, monkeypatch):
    words = [Interval(0.0, 0.1, "ah"), Interval(0.1, 0.2, "ee")]
    speech = [
        replace(utterance, split=utterance.split.replace("dev", "test"), words=tuple(words))
        for utterance in read_tables(corpus)
    ]
    monkeypatch.setattr(corpora, "toy_speech", lambda: Corpus("toy", speech))
    monkeypatch.setattr(evaluate_checkpoint, "mini_librispeech", lambda: Corpus("human", speech))
    monkeypatch.setattr(published, "fsdd", lambda: Corpus("digits", speech[:3]))
    file = tmp_path / "results.json"
    result = invoke("evaluate", recognizer / "model", "--out", file)
    assert result.exit_code == 0, result.stderr
    results = json.loads(file.read_text())
    for name in ("wer", "cer", "beam_wer", "human_cer", "human_beam_wer", "median_boundary_error", "fsdd_accuracy"):
        assert re.search(rf"^{name} +{results[name]:.3f}$", result.stdout, re.MULTILINE)
    for name, table in results["reliability"].items():
        assert f"{name}: confidence from" in result.stdout
        assert f"expected calibration error {table['expected_calibration_error']:.3f}" in result.stdout


def test_a_head_that_cannot_be_evaluated_is_named(tmp_path):
    Wav2Vec2Model(CONFIG).save_pretrained(tmp_path)
    result = invoke("evaluate", tmp_path)
    assert result.exit_code == 1
    assert "is a Wav2Vec2Model; what can be evaluated: " in result.stderr
