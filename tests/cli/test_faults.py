"""Whatever a reader's options, files, terminal or machine cause ends in one sentence and exit status 1 or 2."""

import os
import signal
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
import soundfile
import torch
from command_line import invoke
from little_run import write_corpus
from torch.distributed.run import get_args_parser

from w2v2_teach.cli import COMMANDS, command_parser, evaluate
from w2v2_teach.cli.download import CORPORA
from w2v2_teach.cli.finetune import TASKS
from w2v2_teach.tasks.objectives import OBJECTIVES
from w2v2_teach.tasks.pretraining import RECIPES
from w2v2_teach.training.run_folder import read_metrics
from w2v2_teach.training.settings import option_name

pytestmark = pytest.mark.usefixtures("one_thread")

HEAVY = {"matplotlib", "IPython", "transformers", "sklearn", "librosa"}
CLI = [sys.executable, "-m", "w2v2_teach.cli"]
PAIRS = [[name] for name in COMMANDS if name != "finetune"] + [["finetune", task] for task in TASKS]


def refused(*words: object, status: int = 1) -> str:
    """The one line that a command prints when it does nothing else."""
    result = invoke(*words)
    assert (result.exit_code, result.stdout) == (status, ""), result
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


# --- start-up ---------------------------------------------------------------------------------------------------------


def imported_by(*words: str) -> set[str]:
    """Top-level modules that a command imports, in a process of its own."""
    program = "import sys; from w2v2_teach.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\n"
    program += "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_imports_nothing_heavy():
    assert imported_by("--help") & {*HEAVY, "torch", "numpy"} == set()


def test_a_training_imports_nothing_that_draws():
    assert imported_by("finetune", "asr", "--help") & HEAVY == set()


def test_every_command_has_help():
    listed = invoke("--help")
    assert (listed.exit_code, listed.stderr) == (0, "")
    assert invoke() == listed
    for words in PAIRS:
        assert f"{words[0]} " in listed.stdout
        result = invoke(*words, "--help")
        assert (result.exit_code, result.stderr) == (0, "")
        assert f"usage: w2v2-teach {' '.join(words)}" in result.stdout


# --- terminals and pipes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", PAIRS, ids=" ".join)
def test_a_terminal_without_our_letters(words):
    """The help texts have "…" or Greek letters, the table of `check` has ✓."""
    question = words if words == ["check"] else [*words, "--help"]
    result = invoke(*question, encoding="ascii")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout
    assert "?" in invoke("check", encoding="cp1252").stdout


def output_to(file) -> subprocess.CompletedProcess:
    """`w2v2-teach --help`; argparse ignores errors in writing, which come at once where the output is not buffered."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run([*CLI, "--help"], stdout=file, stderr=subprocess.PIPE, env=buffered, text=True, check=False)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_reader_that_has_seen_enough():
    """`w2v2-teach --help | head -0`"""
    reading, writing = os.pipe()
    os.close(reading)
    done = output_to(writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a file that is always full")
def test_an_output_that_is_full():
    with open("/dev/full", "w") as full:
        done = output_to(full)
    assert (done.returncode, done.stderr) == (1, "No space left on device\n")


def test_an_interruption(monkeypatch):
    def interrupted(**_options):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setitem(CORPORA, "fsdd", interrupted)
    assert invoke("download", "fsdd") == (1, "", "interrupted\n")


def test_a_fault_of_the_course_stays_one(monkeypatch):
    def faulty(**_options):
        raise RuntimeError("a bug")

    monkeypatch.setitem(CORPORA, "fsdd", faulty)
    with pytest.raises(RuntimeError, match="a bug"):
        invoke("download", "fsdd")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), MemoryError(), RuntimeError("can't allocate memory")]
)
def test_memory_that_is_full(monkeypatch, error):
    def full(**_options):
        raise error

    monkeypatch.setitem(CORPORA, "fsdd", full)
    assert refused("download", "fsdd").startswith("out of memory: ")


# --- options ----------------------------------------------------------------------------------------------------------


def test_torchrun_takes_none_of_our_options_for_its_own():
    """Any option of which several of torchrun's are longer versions is "ambiguous" to it, as `--start` was."""
    theirs = get_args_parser()._option_string_actions
    for words in PAIRS:
        ours = set()
        for action in options_of(words):
            ours.update(action.option_strings)
        assert len(ours) >= 2, words
        for option in ours:
            longer = {their for their in theirs if their.startswith(option)}
            assert option in theirs or len(longer) <= 1, f"{words}: {option} could be {longer}"


def options_of(words):
    parser = command_parser([*words])
    for word in words:
        parser = parser._subparsers._group_actions[0].choices[word]
    return parser._actions


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("transcribe x.wav --window inf", "--window: 'inf' is not allowed; it must be a number, 2 or more"),
        ("transcribe x.wav --window nan", "--window: 'nan' is not allowed"),
        ("transcribe x.wav --window 1.9", "--window: '1.9' is not allowed"),
        ("transcribe x.wav --format rtf", "--format: invalid choice: 'rtf'"),
        ("finetune asr --out x --minutes 0", "--minutes: '0' is not allowed; it must be a number, more than 0"),
        ("finetune asr --out x --minutes -3", "--minutes: '-3' is not allowed"),
        ("finetune asr --out x --minutes nan", "--minutes: 'nan' is not allowed"),
        ("finetune asr --out x --learning-rate 1e999", "--learning-rate: '1e999' is not allowed"),
        ("finetune asr --out x --learning-rate fast", "--learning-rate: 'fast' is not allowed; it must be a number"),
        ("finetune asr --out x --updates 1.5", "--updates: invalid int value: '1.5'"),
        ("finetune asr --out x --update 3", "unrecognized arguments: --update 3"),
        ("finetune asr", "required: --out"),
        ("finetune", "required: TASK"),
        ("download timit", "timit is neither a corpus (fsdd, librosa, mini-librispeech) nor a hub id"),
        ("train", "invalid choice: 'train'"),
    ],
)
def test_a_mistake_in_the_command_line(words, complaint):
    answer = refused(*words.split(), status=2)
    assert complaint in answer
    assert answer.endswith("--help`.\n")


@pytest.mark.parametrize("command", ["pretrain", "finetune asr", "finetune speaker", "finetune keyword"])
@pytest.mark.parametrize("word", ["-1", "0", "99999999999999999999999"])
def test_numbers_out_of_range(command, word, corpus, tmp_path):
    """No whole number that a setting gets is a traceback; 0 is allowed for some, and then the corpus is too small."""
    words = [*command.split(), "--corpus", corpus, "--out", tmp_path / "run", "--batch-size", "1000"]
    recipe = TASKS[command.split()[1]].recipes["tiny"] if "finetune" in command else RECIPES["tiny"]
    for field in fields(recipe):
        if isinstance(getattr(recipe, field.name), int) and not isinstance(getattr(recipe, field.name), bool):
            answer = refused(*words, option_name(field), word)
            assert f"{field.name} is {word}" in answer or word == "0" or int(word) > 1000, answer
    assert not (tmp_path / "run").exists()


# --- files and folders ------------------------------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch):
    """`evaluate` measures nothing; how often it was asked to."""
    asked = []
    monkeypatch.setattr(evaluate, "evaluate_checkpoint", lambda *args: asked.append(args) or {"wer": 0.125})
    return asked


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_results_that_could_not_be_written_are_not_measured(measured, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    for out in ("no/such/x.json", "pipe", ".", "file/x.json"):
        assert refused("evaluate", "tiny-asr", "--out", tmp_path / out).startswith(f"{tmp_path / out} ")
    assert "/dev/null is not a file" in refused("evaluate", "tiny-asr", "--out", "/dev/null")
    assert measured == []


@pytest.mark.usefixtures("measured")
def test_results_that_cannot_be_written_any_more_are_printed(monkeypatch, tmp_path):
    def full(_content, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluate.json, "dumps", full)
    result = invoke("evaluate", "tiny-asr", "--out", tmp_path / "x.json")
    assert (result.exit_code, result.stdout.split()) == (1, ["wer", "0.125"])
    assert result.stderr == "No space left on device\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_what_is_not_a_sound_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "nothing.wav", "x" * 300):
        assert refused("transcribe", tmp_path / name).startswith(f"{tmp_path / name}")


TRAININGS = ["pretrain --preset micro", "finetune asr"]


@pytest.mark.parametrize("training", TRAININGS)
def test_a_folder_that_holds_something_else(training, corpus, tmp_path):
    """None of them trains first."""
    short = ["--updates", "1", "--warmup-updates", "0", "--batch-size", "2", "--workers", "0"]
    short += [] if "pretrain" in training else ["--hold-updates", "0"]
    words = [*training.split(), "--corpus", corpus, *short]
    file = tmp_path / "file"
    file.touch()
    cannot = invoke(*words, "--out", file)
    assert (cannot.exit_code, cannot.stdout) == (1, "")
    assert f"{file} cannot be written to: " in cannot.stderr.splitlines()[-1]
    assert "there is nothing to resume" in refused(*words, "--out", file, "--resume")
    assert "there is nothing to resume" in refused(*words, "--out", tmp_path / "nowhere", "--resume")
    other = tmp_path / "other"
    other.mkdir()
    torch.save({"weight": torch.zeros(3)}, other / "state.pt")
    assert "state.pt is damaged, and left as it is" in refused(*words, "--out", other, "--resume")
    (other / "state.pt").unlink()
    (other / "metrics.jsonl").write_text("my notes\n")
    assert "metrics.jsonl is not a log of metrics" in invoke(*words, "--out", other).stderr.splitlines()[-1]
    assert (other / "metrics.jsonl").read_text() == "my notes\n"
    assert "holds no speaker/chapter/*.trans.txt" in refused(*training.split(), "--corpus", file, "--out", tmp_path)


# --- speech and models that do not fit --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("finetune speaker", "/dev must have two speakers, one of them with two utterances"),
        ("finetune keyword", "/train: there are none; they are zero, one, two"),
        (
            "finetune speaker --corpus toy --keep-layers 9",
            "keep_layers is 9; tiny-pretrained has 4 Trans",
        ),
        ("finetune speaker --corpus toy --from scratch --keep-layers 2000000000", "scratch has 4 Transformer layers."),
        ("finetune speaker --crop-seconds 0.001", "crop_seconds is 0.001; it must be 0.025 s or more."),
        ("finetune asr --from someone/model", "fetch it with `w2v2-teach download someone/model`"),
        ("pretrain --preset micro --from someone/model", "fetch it with `w2v2-teach download someone/model`"),
        ("pretrain --preset micro --crop-seconds 0.001", "crop_seconds is 0.001; it must be at least 0.125"),
    ],
)
def test_what_does_not_fit(words, complaint, corpus, tmp_path):
    speech = [] if "--corpus" in words else ["--corpus", corpus]
    assert complaint in refused(*words.split(), *speech, "--batch-size", "2", "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_dev_speech_that_is_too_short_is_noticed_before_training(objective, tmp_path):
    corpus = write_corpus(tmp_path / "corpus")
    table = (corpus / "utterances.tsv").read_text().splitlines()
    for i, line in enumerate(table):
        row = line.split("\t")
        if row[2] == "dev":
            soundfile.write(corpus / row[3], np.zeros(600), 16_000)
            table[i] = "\t".join([*row[:4], "600", row[5]])
    (corpus / "utterances.tsv").write_text("\n".join(table) + "\n")
    for file in ("phones.tsv", "words.tsv"):  # a header alone
        (corpus / file).write_text((corpus / file).read_text().splitlines()[0] + "\n")
    words = ["pretrain", "--preset", "micro", "--objective", objective, "--corpus", corpus, "--out", tmp_path / "run"]
    answer = refused(*words, "--batch-size", "2")
    assert "corpus/dev has no utterance of " in answer
    assert not (tmp_path / "run").exists()


# --- several processes ------------------------------------------------------------------------------------------------


def test_a_process_without_the_others(monkeypatch, corpus, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    answer = refused("pretrain", "--preset", "micro", "--corpus", corpus, "--out", tmp_path / "run")
    assert answer.startswith("this process cannot join the others")
    assert "torchrun" in answer


@pytest.mark.slow
@pytest.mark.parametrize("separator", [[], ["--"]])
def test_torchrun_fine_tunes_from_scratch(separator, corpus, tmp_path):
    """As `--start scratch` did not: torchrun took it for its own, and ended."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--local-addr", "127.0.0.1"]
    torchrun += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]  # any free port
    training = "finetune asr --from scratch --updates 1 --warmup-updates 0 --hold-updates 0 --batch-size 2 --workers 0"
    words = ["-m", "w2v2_teach.cli", *separator, *training.split(), "--corpus", corpus, "--out", tmp_path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = subprocess.run([*torchrun, *words], env=environment, capture_output=True, text=True, check=False)
    assert both.returncode == 0, both.stderr
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1
    assert (tmp_path / "model" / "config.json").is_file()


# --- what a corpus can hold -------------------------------------------------------------------------------------------


TABLE = "utterances.tsv"


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        (lambda table: table.replace(b"ah ee", b"ah \xe9", 1), "utterances.tsv, line 2: byte 0xe9 after"),
        (lambda table: table.decode().encode("utf-16"), "utterances.tsv, line 1: the file is UTF-16"),
        (lambda table: table.replace(b"train-01\t", b"train-00\t"), "line 3: train-00 stands in"),
        (lambda table: table.replace(b"ah ee", b"ah|ee", 1), "utterances.tsv, line 2: '|' stands for the space"),
        (lambda table: table.replace(b"audio/train-02.wav", b"audio/nobody.wav"), "line 4: there is no"),
        (lambda table: table.replace(b"4000", b"many", 1), "utterances.tsv, line 2: invalid literal"),
    ],
    ids=["latin-1", "utf-16", "id twice", "delimiter", "no recording", "no number"],
)
@pytest.mark.parametrize("command", ["pretrain", "finetune asr", "finetune speaker", "finetune keyword"])
def test_a_table_that_cannot_be_used_is_named_by_line(command, break_it, complaint, tmp_path):
    folder = write_corpus(tmp_path / "corpus", train=4, dev=2)
    (folder / TABLE).write_bytes(break_it((folder / TABLE).read_bytes()))
    assert complaint in refused(*command.split(), "--corpus", folder, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_transcripts_longer_than_their_audio_are_listed_before_training(tmp_path):
    folder = write_corpus(tmp_path / "corpus", train=4, dev=2)
    lines = (folder / TABLE).read_text().splitlines(keepends=True)  # the header, then train-00, train-01, …
    for number in (1, 3):
        lines[number] = lines[number].replace("ah ee", "ah ee " * 20)
    (folder / TABLE).write_text("".join(lines))
    options = ["--from", "scratch", "--batch-size", "2", "--corpus", folder, "--out", tmp_path / "run"]
    message = refused("finetune", "asr", *options)
    assert "2 transcripts need more frames than their audio has" in message
    assert "train-00 (" in message
    assert "train-02 (" in message
    assert "train-01" not in message
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
