"""Exercises of notebook 02: lengths, receptive fields, a normalization by hand, and a stack of one's own."""

import math
from operator import mul

import torch
from torch import Tensor
from torch.nn import functional as F

from w2v2_teach.config import BASE, NOTES
from w2v2_teach.course.exercises import Exercise, Mistake, tuples, whole

Layers = tuple[int, ...]

HOP, FIELD, MOST_LAYERS = 160, 400, 6  # what exercise 5 asks for: a frame every 10 ms that sees 25 ms


def shortest_waveform(frames: int, kernels: Layers, strides: Layers) -> int:
    """The smallest number of samples that gives so many frames."""
    for kernel, stride in zip(kernels[::-1], strides[::-1], strict=True):
        frames = (frames - 1) * stride + kernel
    return frames


check_shortest_waveform = Exercise(
    solution=shortest_waveform,
    cases=lambda: [
        (4, (3,), (1,)), (1, BASE.conv_kernel, BASE.conv_stride), (49, BASE.conv_kernel, BASE.conv_stride),
        (3, (5, 2), (1, 4)), (whole(2, 91), NOTES.conv_kernel, NOTES.conv_stride),
    ],
    passed="Right: seven layers, walked from the last one to the first.",
    hint="One layer: n outputs need the first window and n - 1 steps to the right.",
    mistakes={
        "Start at the last layer, the one that makes the frames.":
            lambda n, kernels, strides: shortest_waveform(n, kernels[::-1], strides[::-1]),
        "That is frames times hop; the last window is longer than one hop.":
            lambda n, _, strides: n * math.prod(strides),
    },
)  # fmt: skip


def field_and_hop(kernels: Layers, strides: Layers, dilations: Layers) -> tuple[int, int]:
    """Receptive field and hop of a stack of convolutions, in samples."""
    field = hop = 1
    for kernel, stride, dilation in zip(kernels, strides, dilations, strict=True):
        field += (kernel - 1) * dilation * hop
        hop *= stride
    return field, hop


check_field_and_hop = Exercise(
    solution=field_and_hop,
    cases=lambda: [
        ((3, 2), (2, 3), (1, 1)), (BASE.conv_kernel, BASE.conv_stride, (1,) * len(BASE.conv_kernel)),
        ((3, 3, 3), (1, 1, 1), (1, 2, 4)), ((4, 3, 2), (2, 3, 1), (2, 1, 5)),
    ],
    passed="Right: a kernel adds (k - 1)·d steps of the hop so far, and only the stride changes the hop.",
    hint="A pair (field, hop) is wanted. Draw the windows of the first layer, then join those the second one reads.",
    mistakes={
        "Strides multiply, they do not add.": Mistake(
            lambda k, s, d: (field_and_hop(k, s, d)[0], sum(s)),
            lambda got, _k, s, _d: isinstance(got, tuple | list) and list(got[1:]) == [sum(s)] != [math.prod(s)],
        ),
        "The dilations are missing.": lambda kernels, strides, _: field_and_hop(kernels, strides, (1,) * len(kernels)),
        "Widen the field with the hop before this layer's stride.":
            lambda kernels, strides, dilations: field_and_hop((1, *kernels), (*strides, 1), (1, *dilations)),
        "A kernel of k has k - 1 gaps, each of them d wide.":
            lambda k, strides, dilations: field_and_hop(tuple(map(mul, k, dilations)), strides, (1,) * len(k)),
    },
)  # fmt: skip


def frames_that_see(sample: int, field: int, hop: int, frames: int) -> list[int]:
    """The frames whose window holds the sample."""
    return [t for t in range(frames) if t * hop <= sample < t * hop + field]


check_frames_that_see = Exercise(
    solution=frames_that_see,
    cases=lambda: [
        (650, 400, 320, 49),  # two windows overlap here
        (500, 400, 320, 49),  # one window
        (0, 400, 320, 49),
        (15_900, 400, 320, 49),  # behind the last window
        (15_700, 400, 320, 49),  # a frame 49 would see it, if there were one
        (whole(400, 901), 352, 32, 100),
        (4, 2, 3, 4),  # in one window
        (2, 2, 3, 4),  # between two windows
    ],
    passed="Right: also at both ends, where fewer frames look.",
    hint="A list of frame numbers is wanted: frame t sees t·hop up to t·hop + field - 1.",
    mistakes={
        "You name a frame behind the last, which is frames - 1.":
            lambda sample, field, hop, frames: frames_that_see(sample, field, hop, 2 * frames),
        "You name a frame before the first, which is frame 0.":
            lambda sample, field, hop, _: list(range((sample - field) // hop + 1, sample // hop + 1)),
        "Your windows are one sample too long: they end at t·hop + field - 1.":
            lambda sample, field, hop, frames: frames_that_see(sample, field + 1, hop, frames),
        "sample // hop is the last frame to begin before the sample; which others still see it?":
            lambda sample, _field, hop, _frames: [sample // hop],
    },
)  # fmt: skip


def _centered(z: Tensor) -> Tensor:
    return z - z.mean(1, keepdim=True)


check_normalize_channels = Exercise(
    solution=lambda z, eps: F.layer_norm(z.transpose(1, 2), (z.shape[1],), eps=eps).transpose(1, 2),
    cases=lambda: [
        (3 * torch.randn(2, channels, frames) + 1, eps)
        for channels, frames, eps in ((2, 3, 1e-5), (whole(3, 9), whole(9, 16), 1e-5), (4, 6, 0.5))
    ],
    passed="Right: each frame has its own mean and variance, and padding cannot touch them.",
    hint="Subtract each frame's mean over its channels, divide by √(variance + ε).",
    mistakes={
        "Your mean runs over time, as in group norm; take each frame alone.":
            lambda z, eps: F.group_norm(z, z.shape[1], eps=eps),
        "Your mean runs over channels and time together; take each frame alone.":
            lambda z, eps: F.group_norm(z, 1, eps=eps),
        "You divide by C - 1; a norm divides by C (correction=0).":
            lambda z, eps: _centered(z) / (z.var(1, keepdim=True) + eps).sqrt(),
        "ε is added to the variance, before the root.":
            lambda z, eps: _centered(z) / (z.std(1, correction=0, keepdim=True) + eps),
        "Divide by the standard deviation, not by the variance.":
            lambda z, eps: _centered(z) / (z.var(1, correction=0, keepdim=True) + eps),
    },
)  # fmt: skip


NO_PAIR = "A pair (kernels, strides) is wanted, both of them tuples with one number per layer."


check_design_stack = Exercise(
    solution=lambda: ((10, 3, 3, 3, 3, 4), (5, 2, 2, 2, 2, 2)), cases=lambda: [()], run=tuples(2, NO_PAIR),
    one_result=False,
    passed=f"It fits: a frame every {HOP} samples that sees {FIELD}, and no sample is skipped.",
    mistakes={
        NO_PAIR: lambda: (400, 160),
        "You give another number of kernels than of strides; each layer needs one of both.":
            Mistake(lambda: ((400,), (160, 1)), lambda stack: len(stack[0]) != len(stack[1])),
        f"Your stack has too many layers; at most {MOST_LAYERS} are allowed.":
            Mistake(lambda: ((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)), lambda stack: len(stack[0]) > MOST_LAYERS),
        "Kernels and strides are positive whole numbers.": Mistake(
            lambda: ((0,), (160,)),
            lambda stack: not all(isinstance(n, int) and n > 0 for part in stack for n in part),
        ),
        f"Your strides add up to {HOP}; they must multiply to it.":
            Mistake(lambda: ((80, 80), (80, 80)), lambda stack: sum(stack[1]) == HOP != math.prod(stack[1])),
        f"Your hop is the product of the strides, and it is not {HOP} samples.":
            Mistake(lambda: ((10, 3, 3, 3, 3), (5, 2, 2, 2, 2)), lambda stack: math.prod(stack[1]) != HOP),
        "A layer's stride is larger than its kernel: it steps over some of its input.": Mistake(
            lambda: ((4, 5, 4, 3, 2), (5, 4, 4, 2, 1)),
            lambda stack: any(k < s for k, s in zip(*stack, strict=True)),
        ),
        f"The hop is right. The field is not {FIELD} samples; `field_and_hop` of exercise 2 computes it.": Mistake(
            lambda: ((10, 3, 3, 3, 3, 2), (5, 2, 2, 2, 2, 2)),
            lambda stack: field_and_hop(stack[0], stack[1], (1,) * len(stack[0]))[0] != FIELD,
        ),
    },
)  # fmt: skip
