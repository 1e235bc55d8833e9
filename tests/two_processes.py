"""What each of two processes does in tests/test_processes.py; a process of its own can import it by name."""

import gc
import os
import signal
from pathlib import Path
from typing import Any

import torch
from little_run import Little, without_times
from torch.nn.parallel import DistributedDataParallel

from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.speech.by_name import train_and_dev
from w2v2_teach.training import distributed
from w2v2_teach.training.run_folder import RunError
from w2v2_teach.training.trainer import Interrupted, Trainer

FRAMES = [[[1.0, 0.0], [2.0, 0.0], [3.0, 4.0]], [[10.0, 8.0]]]  # three of the first process, one of the second


def mean() -> tuple[torch.Tensor, torch.Tensor]:
    """The mean over both, and the gradient of (1·mean + 2·mean), a sum of which each process holds one part."""
    x = torch.tensor(FRAMES[distributed.rank()], requires_grad=True)  # (N, 2)
    y = distributed.mean_over_processes(x.mean(dim=0), len(x))  # (2,)
    ((distributed.rank() + 1) * y.sum()).backward()
    return y.detach(), x.grad


def trainer(folder: Path, config: Wav2Vec2Config, changes: dict[str, Any]) -> Trainer:
    return Little(folder, *train_and_dev(str(folder))).trainer(None, config, **changes)


def train(folder: Path, config: Wav2Vec2Config, changes: dict[str, Any]) -> dict[str, Any]:
    """Records and weights; of every micro-batch, how many masked frames it has and where dropout's chance began.

    And how many of the gradients' wrappers have outlived the training.
    """
    training, counts, seeds = trainer(folder, config, changes), [], []
    losses = training.task.losses

    def watched(model, part):
        counts.append(len(part["negatives"]))
        seeds.append(torch.initial_seed())
        return losses(model, part)

    training.task.losses = watched
    records = without_times(list(training.records()))
    return {
        "records": records,
        "weights": training.task.model.state_dict(),
        "counts": counts,
        "seeds": seeds,
        "wrappers": sum(type(thing) is DistributedDataParallel for thing in gc.get_objects()),
    }


def stop_the_second(folder: Path, config: Wav2Vec2Config) -> str:
    """Only one of the two processes gets the signal."""
    records = trainer(folder, config, {"log_every": 1}).records()
    next(records)
    if distributed.rank() == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    try:
        list(records)
    except Interrupted as error:
        return str(error)
    return "went on"


def poison_the_second(folder: Path, config: Wav2Vec2Config) -> str:
    """Only one of the two processes reads what is no sound."""
    training = trainer(folder, config, {"log_every": 1})
    if distributed.rank() == 1:
        (part,) = training.task.dataset.parts
        read = part.waveform
        part.waveform = lambda *piece: read(*piece) * torch.nan
    try:
        list(training.records())
    except RunError as error:
        return str(error)
    return "went on"
