"""A recording that cannot be read ends a training at once, in one sentence, whoever reads it: no hang, no traceback."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from little_run import PATIENCE, Child, command, write_corpus

from w2v2_teach.training.run_folder import RunFolder

SETTINGS = "--batch-size 4 --updates 40 --warmup-updates 1 --log-every 1 --save-every 40 --evaluate-every 40".split()
COMMANDS = {
    "pretrain": ["pretrain", "--preset", "micro", "--crop-seconds", "0.2", *SETTINGS],
    "finetune": ["finetune", "asr", "--from", "scratch", "--hold-updates", "0", *SETTINGS],
}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def corpus(tmp_path):
    """One of its twelve recordings breaks off in its header."""
    folder = write_corpus(tmp_path / "corpus")
    broken = folder / "audio" / "train-05.wav"
    broken.write_bytes(broken.read_bytes()[:30])
    return folder


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize("name", COMMANDS)
def test_one_process(corpus, tmp_path, name, workers):
    out = tmp_path / "run"
    arguments = [*COMMANDS[name], "--corpus", str(corpus), "--out", str(out), "--workers", workers]
    child = Child(tmp_path / "said.txt", command, *arguments)
    try:
        wait = psutil.Process(child.pid)
        assert child.wait() == 1, child.text
    finally:
        if child.process.is_alive():
            os.killpg(child.pid, signal.SIGKILL)
    assert not wait.is_running()
    assert "train-05.wav" in child.text.splitlines()[-1]
    assert "Traceback" not in child.text
    assert RunFolder(out).load()["update"] < 40, "what was learned before is saved"


def test_two_processes(corpus, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--local-addr", "127.0.0.1"]
    torchrun += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "-m", "w2v2_teach.cli", "--"]
    arguments = [*COMMANDS["pretrain"], "--corpus", str(corpus), "--out", str(tmp_path / "run"), "--workers", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = subprocess.run(
        [*torchrun, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=3 * PATIENCE
    )
    assert both.returncode == 1
    assert "train-05.wav" in both.stderr
