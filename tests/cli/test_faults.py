"""Whatever a reader's options, files, terminal or machine cause ends in one sentence and exit status 1 or 2."""

import os
import signal
import subprocess
import sys
from dataclasses import fields

import pytest
import torch
from command_line import invoke
from little_run import write_corpus
from torch.distributed.run import get_args_parser

from w2v2_teach.cli import COMMANDS, command_parser
from w2v2_teach.cli.download import CORPORA
from w2v2_teach.cli.finetune import TASKS
from w2v2_teach.tasks.pretraining import RECIPES
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
