"""The command line trains, survives what happens to processes, and says in one sentence what it cannot do."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
import torch
from little_run import PATIENCE, Child, command, same_weights, wait_for, without_times, write_corpus

from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.run_folder import RunFolder, read_metrics

SMALL = ["--preset", "micro", "--batch-size", "4", "--crop-seconds", "0.2", "--log-every", "1"]
LONG = [*SMALL, "--updates", "40", "--warmup-updates", "10", "--save-every", "10"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def pretrain(corpus, tmp_path_factory):
    """Starts `w2v2-teach pretrain --out …` in a process of its own; ends what a failed test has left at work."""
    children = []

    def start(out, *args):
        output = tmp_path_factory.mktemp("said") / "output.txt"
        child = Child(output, command, "pretrain", "--corpus", str(corpus), "--out", str(out), *args)
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


def assert_same_run(out, whole):
    """Every number but the times, and every weight, bit for bit."""
    ours, theirs = (without_times(read_metrics(folder / "metrics.jsonl")) for folder in (out, whole))
    assert ours == theirs
    models = (Wav2Vec2ForPreTraining.from_pretrained(folder / "model") for folder in (out, whole))
    assert same_weights(*models)
    states = [RunFolder(folder).load() for folder in (out, whole)]
    for ours, theirs in zip(*(state["optimizer"]["state"].values() for state in states), strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def updates_in(out) -> list[int]:
    return [line["update"] for line in read_metrics(out / "metrics.jsonl")]


def test_a_killed_run_goes_on_as_if_nothing_had_happened(corpus, pretrain, whole, tmp_path):
    out = tmp_path / "run"
    program = [sys.executable, "-m", "w2v2_teach.cli", "pretrain", "--corpus", corpus, "--out", out, *LONG]
    with subprocess.Popen(program, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: process.poll() is not None or ((out / "state.pt").is_file() and updates_in(out)[-1] >= 13))
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    done = RunFolder(out).load()["update"]
    assert done < updates_in(out)[-1] < 40, "there are lines of updates that are lost"
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
    assert workers
    os.killpg(child.pid, number)  # a terminal's Ctrl-C reaches the workers, too
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
