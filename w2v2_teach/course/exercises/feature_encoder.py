"""Checks for notebook 02: lengths, receptive fields, a normalization by hand, and a stack of one's own."""

from __future__ import annotations

import math
import random
from itertools import accumulate

import torch
from torch.nn import functional as F

from w2v2_teach.config import BASE, NOTES
from w2v2_teach.course.exercises import Answer, Wrong, call, exercise, expect, recognize

Layers = tuple[int, ...]

HOP, FIELD = 160, 400  # what exercise 5 asks for: a frame every 10 ms that sees 25 ms


@exercise(passed="Right: seven layers, walked from the last one to the first.")
def check_shortest_waveform(answer: Answer) -> None:
    """`answer(frames, kernels, strides)` is the smallest number of samples that gives so many frames."""
    for frames, kernels, strides in (
        (4, (3,), (1,)),
        (1, BASE.conv_kernel, BASE.conv_stride),
        (49, BASE.conv_kernel, BASE.conv_stride),
        (3, (5, 2), (1, 4)),
        (random.randint(2, 90), NOTES.conv_kernel, NOTES.conv_stride),
    ):
        samples = _samples_for(frames, kernels, strides)
        got = call(answer, frames, kernels, strides)
        case = f"For {frames} frames of kernels {kernels} and strides {strides}"
        wrong_way = _samples_for(frames, kernels[::-1], strides[::-1])
        mistakes = {
            "start at the last layer, the one that makes the frames.": wrong_way,
            "that is frames times hop; the last window is longer than one hop.": frames * math.prod(strides),
        }
        recognize(got, samples, {f"{case}: {message}": result for message, result in mistakes.items()})
        expect(got, samples, f"{case}. One layer: n outputs need the first window and n - 1 steps to the right.")


@exercise(passed="Right: a kernel adds (k - 1)·d steps of the hop so far, and only the stride changes the hop.")
def check_field_and_hop(answer: Answer) -> None:
    """`answer(kernels, strides, dilations)` is the pair (receptive field, hop), in samples."""
    ones = (1,) * len(BASE.conv_kernel)
    for kernels, strides, dilations in (
        ((3, 2), (2, 3), (1, 1)),
        (BASE.conv_kernel, BASE.conv_stride, ones),
        ((3, 3, 3), (1, 1, 1), (1, 2, 4)),
        ((4, 3, 2), (2, 3, 1), (2, 1, 5)),
    ):
        got = call(answer, kernels, strides, dilations)
        case = f"For kernels {kernels}, strides {strides}, dilations {dilations}"
        field, hop = _field_and_hop(kernels, strides, dilations)
        _require_pair(got, "(field, hop)")
        recognize(got[1], hop, {f"{case}: strides multiply, they do not add.": sum(strides)})
        late = 1 + sum((k - 1) * d * h for k, d, h in zip(kernels, dilations, _hops(strides)[1:], strict=True))
        whole = 1 + sum((k * d - 1) * h for k, d, h in zip(kernels, dilations, _hops(strides)[:-1], strict=True))
        mistakes = {
            "the dilations are missing.": _field_and_hop(kernels, strides)[0],
            "widen the field with the hop before this layer's stride.": late,
            "a kernel of k has k - 1 gaps, each of them d wide.": whole,
        }
        recognize(got[0], field, {f"{case}: {message}": result for message, result in mistakes.items()})
        expect(got, (field, hop), f"{case}. Draw the windows of the first layer, then join those the second one reads.")


@exercise(passed="Right: also at both ends, where fewer frames look.")
def check_frames_that_see(answer: Answer) -> None:
    """`answer(sample, field, hop, frames)` is the list of the frames whose window holds the sample."""
    for sample, field, hop, frames in (
        (650, 400, 320, 49),  # two windows overlap here
        (500, 400, 320, 49),  # one window
        (0, 400, 320, 49),
        (15_900, 400, 320, 49),  # behind the last window
        (15_700, 400, 320, 49),  # a frame 49 would see it, if there were one
        (random.randint(400, 900), 352, 32, 100),
        (4, 2, 3, 4),  # in one window
        (2, 2, 3, 4),  # between two windows
    ):
        seen = [t for t in range(frames) if t * hop <= sample < t * hop + field]
        got = call(answer, sample, field, hop, frames)
        case = f"Sample {sample}, field {field}, hop {hop}, {frames} frames"
        try:
            listed = [int(t) for t in got]
        except (TypeError, ValueError) as error:
            raise Wrong(f"Your function returned {type(got).__name__}; a list of frame numbers is wanted.") from error
        if any(t < 0 for t in listed):
            raise Wrong(f"{case}: you name frame {min(listed)}; the first frame is 0.")
        if any(t >= frames for t in listed):
            raise Wrong(f"{case}: you name frame {max(listed)}; the last of {frames} frames is {frames - 1}.")
        if listed != seen and listed == [sample // hop] == seen[-1:]:
            raise Wrong(f"{case}: sample // hop is the last frame to begin before it; which others still see it?")
        if listed != seen:
            raise Wrong(f"{case}: you name {listed}, wanted is {seen}. Frame t sees t·hop up to t·hop + field - 1.")


@exercise(passed="Right: each frame has its own mean and variance, and padding cannot touch them.")
def check_normalize_channels(answer: Answer) -> None:
    """`answer(z, eps)` is the layer norm of z (B, C, T) over its channels, without learned weights."""
    for channels, frames, eps in ((2, 3, 1e-5), (random.randint(3, 8), random.randint(9, 15), 1e-5), (4, 6, 0.5)):
        z = torch.randn(2, channels, frames) * 3 + 1  # (B, C, T)
        got = call(answer, z, eps)
        mean, variance = z.mean(1, keepdim=True), z.var(1, correction=0, keepdim=True)  # (B, 1, T)
        wanted = F.layer_norm(z.transpose(1, 2), (channels,), eps=eps).transpose(1, 2)  # (B, C, T)
        mistakes = {
            "Your mean runs over time, as in group norm; take each frame alone.": F.group_norm(z, channels, eps=eps),
            "Your mean runs over channels and time together; take each frame alone.": F.group_norm(z, 1, eps=eps),
            "You divide by C - 1; a norm divides by C (correction=0).": (
                (z - mean) / (z.var(1, keepdim=True) + eps).sqrt()
            ),
            "ε is added to the variance, before the root.": (z - mean) / (variance.sqrt() + eps),
            "Divide by the standard deviation, not by the variance.": (z - mean) / (variance + eps),
        }
        recognize(got, wanted, mistakes)
        expect(got, wanted, "Subtract each frame's mean over its channels, divide by √(variance + ε).")


@exercise(passed=f"It fits: a frame every {HOP} samples that sees {FIELD}, and no sample is skipped.")
def check_design_stack(answer: Answer) -> None:
    """`answer()` is a pair (kernels, strides) of at most six layers with hop 160 and field 400, and no gaps."""
    got = call(answer)
    _require_pair(got, "(kernels, strides)")
    if not all(isinstance(side, (tuple, list)) for side in got):
        raise Wrong("Kernels and strides are tuples, with one number per layer.")
    kernels, strides = map(tuple, got)
    if len(kernels) != len(strides):
        raise Wrong(f"You give {len(kernels)} kernels and {len(strides)} strides; each layer needs one of both.")
    if len(kernels) > 6:
        raise Wrong(f"Your stack has {len(kernels)} layers; at most six are allowed.")
    if not all(isinstance(n, int) and n > 0 for n in kernels + strides):
        raise Wrong("Kernels and strides are positive whole numbers.")
    field, hop = _field_and_hop(kernels, strides)
    if sum(strides) == HOP and hop != HOP:
        raise Wrong(f"Your strides add up to {HOP}; they must multiply to it. Your hop is {hop}.")
    if hop != HOP:
        raise Wrong(f"Your hop is {hop} samples, wanted is {HOP}: the product of the strides.")
    for i, (kernel, stride) in enumerate(zip(kernels, strides, strict=True)):
        if kernel < stride:
            raise Wrong(f"Layer {i} has kernel {kernel} and stride {stride}: it steps over some of its input.")
    if field != FIELD:
        raise Wrong(f"The hop is right. Your field is {field} samples, wanted is {FIELD}.")


def _samples_for(frames: int, kernels: Layers, strides: Layers) -> int:
    for kernel, stride in zip(kernels[::-1], strides[::-1], strict=True):
        frames = (frames - 1) * stride + kernel
    return frames


def _hops(strides: Layers) -> list[int]:
    """The hop before each layer, and after the last."""
    return list(accumulate(strides, lambda hop, stride: hop * stride, initial=1))


def _field_and_hop(kernels: Layers, strides: Layers, dilations: Layers | None = None) -> tuple[int, int]:
    dilations = dilations or (1,) * len(kernels)
    *hops, hop = _hops(strides)
    return 1 + sum((k - 1) * d * h for k, d, h in zip(kernels, dilations, hops, strict=True)), hop


def _require_pair(got: object, name: str) -> None:
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Wrong(f"Your function returned {got!r}; a pair {name} is wanted.")
