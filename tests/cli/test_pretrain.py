"""The command line trains, survives what happens to processes, and says in one sentence what it cannot do."""

import json
import os
import re
import signal
import subprocess
import sys
from argparse import ArgumentParser, HelpFormatter
from dataclasses import fields, replace
from functools import partial

import psutil
import pytest
import torch
from command_line import invoke
from little_run import PATIENCE, Child, command, full_disk, same_weights, wait_for, without_times, write_corpus

from w2v2_teach.cli.options import add_settings, given_settings
from w2v2_teach.config import PRESETS
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech import corpora, published
from w2v2_teach.speech.corpora import Corpus, read_tables
from w2v2_teach.tasks import evaluate_checkpoint
from w2v2_teach.tasks.pretraining import RECIPES
from w2v2_teach.tasks.settings import PretrainingSettings
from w2v2_teach.training.run_folder import RunFolder, read_metrics
from w2v2_teach.training.settings import option_name

SMALL = ["--preset", "micro", "--batch-size", "4", "--crop-seconds", "0.2", "--log-every", "1"]
LONG = [*SMALL, "--updates", "40", "--warmup-updates", "10", "--save-every", "10"]
SHORT = [*SMALL, "--updates", "3", "--warmup-updates", "1"]
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def pretrain(corpus, tmp_path_factory):
    """Starts `w2v2-teach pretrain --out …` in a process of its own; ends what a failed test has left at work."""
    children = []

    def start(out, *args, function=command):
        output = tmp_path_factory.mktemp("said") / "output.txt"
        child = Child(output, function, "pretrain", "--corpus", str(corpus), "--out", str(out), *args)
        children.append(child)
        return child

    yield start
    for child in children:
        if child.process.is_alive():
            os.killpg(child.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def whole(pretrain, tmp_path_factory):
    """The folder of a run that nothing has interrupted."""
    out = tmp_path_factory.mktemp("whole")
    child = pretrain(out, *LONG)
    assert child.wait() == 0, child.text
    return out


def updates_in(out) -> list[int]:
    return [line["update"] for line in read_metrics(out / "metrics.jsonl")]


def models(*folders) -> list[Wav2Vec2ForPreTraining]:
    return [Wav2Vec2ForPreTraining.from_pretrained(folder / "model") for folder in folders]


def assert_same_run(out, whole):
    """Every number but the times, and every weight, bit for bit."""
    ours, theirs = (without_times(read_metrics(folder / "metrics.jsonl")) for folder in (out, whole))
    assert ours == theirs
    assert same_weights(*models(out, whole))
    states = [RunFolder(folder).load() for folder in (out, whole)]
    for ours, theirs in zip(*(state["optimizer"]["state"].values() for state in states), strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


# --- what happens to processes ---------------------------------------------------------------------------------------


def test_a_killed_run_goes_on_as_if_nothing_had_happened(corpus, pretrain, whole, tmp_path):
    out = tmp_path / "run"
    program = [sys.executable, "-m", "w2v2_teach.cli", "pretrain", "--corpus", corpus, "--out", out, *LONG]
    with subprocess.Popen(program, env=ONE_THREAD, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: process.poll() is not None or max(updates_in(out), default=0) >= 13)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    done = RunFolder(out).load()["update"]
    assert 10 <= done < updates_in(out)[-1] < 40, "there are lines of updates that are lost"
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"update": 9')  # a line that the process had no time to finish

    child = pretrain(out, *LONG, "--resume")
    assert child.wait() == 0, child.text
    assert updates_in(out) == list(range(1, 41))
    assert_same_run(out, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_update_saves_and_says_how_to_go_on(pretrain, whole, tmp_path, number):
    out = tmp_path / "run"
    child = pretrain(out, *LONG, "--workers", "1")
    wait_for(lambda: not child.process.is_alive() or len(updates_in(out)) >= 5)
    workers = psutil.Process(child.pid).children()
    assert len(workers) == 1
    os.killpg(child.pid, number)  # a terminal's Ctrl-C reaches the worker, too
    assert child.wait() == 1
    assert psutil.wait_procs(workers, timeout=PATIENCE)[1] == [], "no worker is left"

    done = updates_in(out)[-1]
    assert done < 40
    assert RunFolder(out).load()["update"] == done
    assert child.text.splitlines()[-1] == (
        f"stopped after update {done} of 40; the state is saved. To go on: the same command with --out {out} --resume"
    )
    assert "Traceback" not in child.text

    child = pretrain(out, *LONG, "--resume")
    assert child.wait() == 0, child.text
    assert_same_run(out, whole)


def test_the_folder_tells_the_command_and_the_machine_that_made_it(whole, corpus):
    words = ["pretrain", "--corpus", str(corpus), "--out", str(whole), *LONG]
    command, machine = (whole / "command.txt").read_text().splitlines()
    assert command == f"w2v2-teach {' '.join(words)}"
    assert f"torch {torch.__version__}" in machine


def test_a_full_disk_is_one_sentence_and_a_status(pretrain, tmp_path):
    child = pretrain(tmp_path, *SHORT, function=full_disk)
    assert child.wait() == 1
    assert re.search(r"the state of update 3 cannot be written: .*; nothing is saved\.", child.text.splitlines()[-1])
    assert "Traceback" not in child.text
    assert {path.name for path in tmp_path.iterdir()} == {"command.txt", "metrics.jsonl", "tensorboard"}


def test_torchrun_starts_two_processes_that_train_like_one(corpus, pretrain, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--local-addr", "127.0.0.1"]
    torchrun += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]  # any free port
    program = ["-m", "w2v2_teach.cli", "pretrain", "--corpus", corpus, "--out", tmp_path / "two", *SHORT]
    both = subprocess.run([*torchrun, *program], env=ONE_THREAD, capture_output=True, text=True, check=False)
    assert both.returncode == 0, both.stderr
    child = pretrain(tmp_path / "one", *SHORT)
    assert child.wait() == 0, child.text
    one, two = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    assert [line["update"] for line in two] == [1, 2, 3]
    for ours, theirs in zip(two, one, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"seconds_per_update", "masked_share"}:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-5, abs=1e-5), name
    ours, theirs = models(tmp_path / "two", tmp_path / "one")
    for name, x in theirs.state_dict().items():
        assert (ours.state_dict()[name] - x).abs().max() <= 1e-5, name


# --- what it is told -------------------------------------------------------------------------------------------------


def refused(*args) -> str:
    """What the command says before it exits with status 1."""
    result = invoke("pretrain", *args)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_what_it_cannot_do_is_one_sentence(corpus, whole, tmp_path, monkeypatch):
    run = ["--corpus", corpus, "--out", whole, *LONG]
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert "already holds a run: --resume goes on with it" in refused(*run)
    assert "a resumed run must keep its settings, but seed was 0 and is 5." in refused(*run, "--resume", "--seed", "5")
    with monkeypatch.context() as other:
        other.setitem(PRESETS, "micro", replace(PRESETS["micro"], num_negatives=50))
        assert "holds a run of another model" in refused(*run, "--resume")
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before
    assert "there is nothing to resume" in refused("--corpus", corpus, "--out", tmp_path, *LONG, "--resume")
    assert "batch_size=13 asks for more" in refused("--corpus", corpus, "--out", tmp_path, *LONG, "--batch-size", "13")
    assert "updates is 0; it must be 1 or more." in refused("--out", tmp_path, "--updates", "0")
    assert "warmup_updates is 30; it must be at most updates=5." in refused(
        "--out", tmp_path, "--preset", "micro", "--updates", "5"
    )
    assert "holds no speaker/chapter/*.trans.txt" in refused("--out", tmp_path, "--corpus", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def parser():
    parser = ArgumentParser(prog="train", formatter_class=partial(HelpFormatter, width=300))
    parser.add_argument("--out", default="here")
    add_settings(parser, PretrainingSettings)
    return parser


def test_every_setting_has_one_option_that_says_what_it_is(parser):
    text = parser.format_help().split("settings:")[1]
    for field in fields(PretrainingSettings):
        assert len(re.findall(rf"^  {option_name(field)}\b(?!-)", text, re.MULTILINE)) == 1, field.name
        assert field.metadata["help"] in text


def test_what_is_given_arrives_and_nothing_else(parser):
    def given(*words: str) -> dict:
        return given_settings(parser.parse_args(words), RECIPES["base"])

    assert given() == {}
    for field in fields(PretrainingSettings):
        if isinstance(field.default, bool):
            assert given(option_name(field)) == {field.name: True}
            assert given(option_name(field).replace("--", "--no-")) == {field.name: False}
        elif field.default == ():
            assert given(option_name(field), "3", "4", option_name(field), "5") == {field.name: [3, 4, 5]}
        else:
            assert given(option_name(field), "3") == {field.name: 3}, field.name
    assert given("--out", "there", "--seed", "0") == {"seed": 0}, "a zero is given, too"


def test_a_preset_is_a_model_and_its_recipe(whole):
    state = RunFolder(whole).load()
    given = {"batch_size": 4, "crop_seconds": 0.2, "log_every": 1, "updates": 40, "warmup_updates": 10}
    given["save_every"] = 10
    for field in fields(PretrainingSettings):
        recipe = getattr(RECIPES["micro"], field.name)
        assert state["settings"][field.name] == given.get(field.name, recipe), field.name
    assert models(whole)[0].config == PRESETS["micro"]


def test_evaluate_prints_a_table_and_writes_everything(corpus, whole, tmp_path, monkeypatch):
    speech = read_tables(corpus)
    toy = Corpus("toy", (replace(utterance, split="test") for utterance in speech.split("dev")))
    words = "one", "two"
    fsdd = Corpus("fsdd", (replace(u, text=words[i // 3 % 2]) for i, u in enumerate(speech.split("train"))))
    monkeypatch.setattr(corpora, "toy_speech", lambda: toy)
    monkeypatch.setattr(published, "fsdd", lambda: fsdd)
    human = Corpus("human", (replace(u, split="train" if i < 8 else "test") for i, u in enumerate(speech)))
    monkeypatch.setattr(evaluate_checkpoint, "mini_librispeech", lambda: human)
    result = invoke("evaluate", whole / "model", "--out", tmp_path / "results.json")
    assert result.exit_code == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results.keys() == {"checkpoint", "machine", "trained", "untrained", "yardsticks"}
    for name in ("contrastive_loss", "accuracy", "pnmi", "usage_perplexity", "digit_accuracy"):
        ours, theirs = results["trained"][name], results["untrained"][name]
        assert re.search(rf"^{name} +{ours:.3f} +untrained +{theirs:.3f}$", result.stdout, re.MULTILINE)
    assert len(results["trained"]["digit_accuracy_by_speaker"]) == 3
    assert re.search(rf"^MFCC +{results['yardsticks']['MFCC']['cluster_pnmi']:.3f} ", result.stdout, re.MULTILINE)


def test_evaluate_without_a_checkpoint_is_one_sentence(tmp_path):
    result = invoke("evaluate", tmp_path, "--out", tmp_path / "results.json")
    assert result.exit_code == 1
    assert result.stderr == f"{tmp_path} has no config.json.\n"
    assert list(tmp_path.iterdir()) == []
