"""Training with several processes, one a device, as `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_reduce


@contextmanager
def process_group() -> Iterator[torch.device]:
    """Join the other processes, if `torchrun` started several; yields the device of this one."""
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if "WORLD_SIZE" not in os.environ:  # not started by torchrun
        yield device
        return
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """The number of this process, 0 for the first or only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def sum_over_processes(x: Tensor) -> Tensor:
    """The sum of `x` over all processes, with gradients; `x` itself where there is only one."""
    return all_reduce(x) if dist.is_initialized() else x


def mean_over_batch(x: Tensor) -> Tensor:
    """(N, ...) → (...), the mean over the frames of all processes, each of which may hold another number N."""
    frames = torch.tensor(float(len(x)), device=x.device)
    return sum_over_processes(x.sum(dim=0)) / sum_over_processes(frames)
