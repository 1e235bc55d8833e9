"""Training with several processes, one a device, as `torchrun` starts them: the one place where they talk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from w2v2_teach.model import Wav2Vec2ForPreTrainingOutput
from w2v2_teach.training.run_folder import RunError


@contextmanager
def process_group() -> Iterator[torch.device]:
    """Join the other processes, if `torchrun` started several; yields the device of this one.

    Raises:
        RunError: the others do not answer, or there are more processes than GPUs.
    """
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if "WORLD_SIZE" not in os.environ:  # not started by torchrun
        yield device
        return
    try:
        if cuda:
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if cuda else "gloo")
    except (ValueError, RuntimeError) as error:
        raise RunError(
            f"this process cannot join the others ({error}). Start all of them with torchrun, one a GPU, or unset "
            "WORLD_SIZE to train with one."
        ) from error
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


def own_share(rows: int) -> slice:
    """The rows of a batch that this process works on."""
    size = rows // count()
    return slice(rank() * size, (rank() + 1) * size)


class _Sum(torch.autograd.Function):
    """y = Σ x over the processes; each process holds a part of the loss, so the gradient of x is a sum as well."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return _all_reduced(x)

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return _all_reduced(gradient)


def _all_reduced(x: Tensor) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def sum_over_processes(x: Tensor) -> Tensor:
    """The sum of `x` over all processes, with gradients; `x` itself where there is only one."""
    return _Sum.apply(x) if dist.is_initialized() else x


def mean_over_processes(mean: Tensor, number: int) -> Tensor:
    """The mean over the items of all processes, from this one's mean over its `number` items, with gradients."""
    if not dist.is_initialized():
        return mean
    numbers = torch.tensor(float(number), device=mean.device)
    return sum_over_processes(number * mean) / sum_over_processes(numbers)


def any_process(condition: bool, device: torch.device) -> bool:
    """Is the condition true in at least one process? All processes have to ask."""
    if not dist.is_initialized():
        return condition
    return bool(sum_over_processes(torch.tensor(float(condition), device=device)) > 0)


def averaged_over_processes(output: Wav2Vec2ForPreTrainingOutput) -> Wav2Vec2ForPreTrainingOutput:
    """The output with the quantizer's average distributions taken over the masked frames of all processes.

    Their perplexity, and thus the diversity loss, is that of the whole batch: the mean of the processes' perplexities
    would be smaller.
    """
    quantized, N = output.quantized, output.num_masked
    code_probs, mean_probs = (mean_over_processes(p, N) for p in (quantized.code_probs, quantized.mean_probs))
    return replace(output, quantized=quantized._replace(code_probs=code_probs, mean_probs=mean_probs))
