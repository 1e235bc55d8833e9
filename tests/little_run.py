"""A corpus, a network and settings so small that a whole training takes a second, and processes to train in."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from requirements import require

from w2v2_teach.config import MICRO, Wav2Vec2Config
from w2v2_teach.speech.by_name import train_and_dev
from w2v2_teach.speech.corpora import Corpus
from w2v2_teach.tasks.pretraining import RECIPES, Pretraining
from w2v2_teach.tasks.settings import PretrainingSettings
from w2v2_teach.training.trainer import Trainer

CONFIG = replace(  # a frame sees 40 samples, every 80; a crop needs 6 frames, 440 samples
    MICRO,
    conv_dim=(8, 8, 8),
    conv_kernel=(10, 3, 2),
    conv_stride=(5, 4, 4),
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    num_conv_pos_embeddings=8,
    num_conv_pos_embedding_groups=4,
    num_codevectors_per_group=8,
    codevector_dim=16,
    proj_codevector_dim=16,
    num_negatives=5,
)
WITH_DROPOUT = replace(CONFIG, hidden_dropout=0.2, feat_proj_dropout=0.2, feat_quantizer_dropout=0.2, layerdrop=0.2)

SETTINGS = replace(
    RECIPES["micro"],
    updates=6,
    batch_size=4,
    warmup_updates=2,
    crop_seconds=0.2,
    log_every=2,
    evaluate_every=6,
    save_every=3,
)
PITCHES = {"AA": 300, "IY": 1_200}  # the two phones that the speakers know, in Hz


def write_corpus(folder: Path, train: int = 12, dev: int = 4) -> Path:
    """Tables as data/toy_speech has, and WAV files of 0.25 to 0.4 s: one phone after the other, and some noise."""
    rows, phones, words = [], [], []
    for i in range(train + dev):
        split, samples = "train" if i < train else "dev", 4_000 + 200 * (i % 12)
        key, path = f"{split}-{i:02}", f"audio/{split}-{i:02}.wav"
        rows.append((key, f"speaker {i % 3 if i < train else 3}", split, path, samples, "ah ee"))
        edges = [0, samples // 3, samples]
        noise = np.random.default_rng(i).normal(0, 0.05, samples)
        pitch = np.empty(samples)
        for start, end, (phone, hz) in zip(edges, edges[1:], PITCHES.items(), strict=False):
            pitch[start:end] = hz
            phones.append((key, start / 16_000, end / 16_000, phone, phone.lower()))
        words.append((key, 0.0, samples / 16_000, "ah-ee"))
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        wave = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / 16_000) + noise
        soundfile.write(folder / path, wave, 16_000, subtype="PCM_16")
    for name, header, lines in (
        ("utterances", "id speaker split path num_samples text", rows),
        ("phones", "id start end phone ipa", phones),
        ("words", "id start end word", words),
    ):
        table = [header.split(), *lines]
        text = "".join("\t".join(map(str, line)) + "\n" for line in table)
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8")
    return folder


@dataclass
class Little:
    """The corpus, and trainings on it."""

    folder: Path
    train: Corpus
    dev: Corpus

    def task(self, config: Wav2Vec2Config = CONFIG, **changes) -> Pretraining:
        return Pretraining(config, self.settings(**changes), self.train, self.dev)

    def trainer(self, folder: Path | None = None, config: Wav2Vec2Config = CONFIG, **changes) -> Trainer:
        task = self.task(config, **changes)
        return Trainer(task, task.settings, folder)

    @staticmethod
    def settings(**changes) -> PretrainingSettings:
        return replace(SETTINGS, **changes)


def little_corpus(folder: Path) -> Little:
    return Little(folder, *train_and_dev(str(write_corpus(folder))))


def without_times(records: list[dict]) -> list[dict]:
    return [{name: value for name, value in record.items() if name != "seconds_per_update"} for record in records]


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Bit for bit."""
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """A full disk as far as this process can tell: the system refuses to make any file longer than `size` bytes."""
    require(sys.platform != "win32", "a limit on the size of files, which Windows does not have")
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


# --- processes of their own -------------------------------------------------------------------------------------------

# Importing the package takes seconds. A server imports it once, and then forks every process that a test asks for.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["w2v2_teach.cli.pretrain", "torch._dynamo", "little_run"])  # AdamW needs _dynamo
PATIENCE = 300  # seconds after which a test gives up


class Child:
    """`function(*args)` in a process of its own, the leader of its process group; what it prints is kept."""

    def __init__(self, output: Path, function: Callable[..., None], *args: Any) -> None:
        self.output = output
        self.process = _SERVER.Process(target=_run, args=(output, function, args))
        self.process.start()
        self.pid = self.process.pid

    def wait(self) -> int:
        """The exit status."""
        self.process.join(PATIENCE)
        assert not self.process.is_alive(), f"still at work:\n{self.text}"
        return self.process.exitcode

    @property
    def text(self) -> str:
        return self.output.read_text(encoding="utf-8")


def _run(output: Path, function: Callable[..., None], args: tuple) -> None:
    os.setsid()
    multiprocessing.set_start_method(None, force=True)  # the system's own, for processes that it starts in turn
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    torch.set_num_threads(1)
    function(*args)


def in_two_processes(folder: Path, function: Callable[..., Any], *args: Any) -> list[Any]:
    """What `function(*args)` returns in each of two processes that train together."""
    children = [Child(folder / f"{rank}.txt", _together, rank, folder, function, args) for rank in (0, 1)]
    for child in children:
        assert child.wait() == 0, child.text
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def _together(rank: int, folder: Path, function: Callable[..., Any], args: tuple) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save(function(*args), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def command(*args: str) -> None:
    """`w2v2-teach …`"""
    from w2v2_teach.cli import main

    sys.exit(main(args))


def full_disk(*args: str) -> None:
    """`w2v2-teach …` where no file can be longer than 200 kB."""
    with file_size_limit(200_000):
        command(*args)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.002)
