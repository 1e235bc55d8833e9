"""Notebook 02's checks: the right answer passes, an empty one says so, and plausible wrong ones learn what is wrong."""

import math

import pytest
import torch
from answers import assert_refused
from torch.nn import functional as F

from w2v2_teach.course.exercises import feature_encoder as checks


def shortest_waveform(frames, kernels, strides):
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        frames = (frames - 1) * stride + kernel
    return frames


def field_and_hop(kernels, strides, dilations):
    field = hop = 1
    for kernel, stride, dilation in zip(kernels, strides, dilations, strict=True):
        field += (kernel - 1) * dilation * hop
        hop *= stride
    return field, hop


def frames_that_see(sample, field, hop, frames):
    return [t for t in range(frames) if t * hop <= sample < t * hop + field]


def normalize_channels(z, eps):
    mean, variance = z.mean(1, keepdim=True), z.var(1, correction=0, keepdim=True)
    return (z - mean) / (variance + eps).sqrt()


def design_stack():
    return (10, 3, 3, 3, 3, 4), (5, 2, 2, 2, 2, 2)


RIGHT = {
    checks.check_shortest_waveform: shortest_waveform,
    checks.check_field_and_hop: field_and_hop,
    checks.check_frames_that_see: frames_that_see,
    checks.check_normalize_channels: normalize_channels,
    checks.check_design_stack: design_stack,
}


@pytest.mark.parametrize("check", RIGHT)
def test_the_right_answer_passes(check):
    for _ in range(5):  # some cases are drawn at random
        assert check(RIGHT[check]).state == "passed"


@pytest.mark.parametrize("check", RIGHT)
def test_an_empty_answer_says_so(check):
    def answer(*_args): ...

    assert check(answer).state == "not attempted"


@pytest.mark.parametrize("check", RIGHT)
def test_an_answer_that_raises_is_reported(check):
    def answer(*_args):
        raise KeyError("lost")

    assert_refused(check, answer, "KeyError")


@pytest.mark.parametrize("check", RIGHT)
@pytest.mark.parametrize("nonsense", ["seven", 1.5, ("a", None), {}])
def test_nonsense_is_refused_without_a_traceback(check, nonsense):
    assert check(lambda *_args: nonsense).state == "wrong"


def test_shortest_waveform_refuses():
    check = checks.check_shortest_waveform
    assert_refused(check, lambda n, k, s: shortest_waveform(n, k[::-1], s[::-1]), "start at the last layer")
    assert_refused(check, lambda n, _k, s: n * math.prod(s), "frames times hop")
    assert_refused(check, lambda n, k, s: shortest_waveform(n, k, s) - 1, "n - 1 steps to the right")


def test_field_and_hop_refuses():
    check = checks.check_field_and_hop

    def stride_first(kernels, strides, dilations):
        field = hop = 1
        for kernel, stride, dilation in zip(kernels, strides, dilations, strict=True):
            hop *= stride
            field += (kernel - 1) * dilation * hop
        return field, hop

    def whole_kernels(kernels, strides, dilations):
        return field_and_hop([k * d for k, d in zip(kernels, dilations, strict=True)], strides, [1] * len(kernels))

    assert_refused(check, lambda k, s, d: (field_and_hop(k, s, d)[0], sum(s)), "strides multiply")
    assert_refused(check, lambda k, s, _d: field_and_hop(k, s, [1] * len(k)), "dilations are missing")
    assert_refused(check, stride_first, "before this layer's stride")
    assert_refused(check, whole_kernels, "k - 1 gaps")
    assert_refused(check, lambda k, s, d: field_and_hop(k, s, d)[0], "a pair (field, hop)")


def test_frames_that_see_refuses():
    check = checks.check_frames_that_see
    assert_refused(check, lambda n, _field, hop, _frames: [n // hop], "which others still see it")
    assert_refused(check, lambda n, field, hop, frames: frames_that_see(n, field + 1, hop, frames), "up to t·hop")
    assert_refused(
        check, lambda n, field, hop, frames: frames_that_see(n, field, hop, frames + 1), "the last of 49 frames"
    )

    def from_a_formula(n, field, hop, _frames):
        return list(range((n - field) // hop + 1, n // hop + 1))

    assert_refused(check, from_a_formula, "the first frame is 0")
    assert_refused(check, lambda n, _field, hop, _frames: n // hop, "a list of frame numbers")


def test_normalize_channels_refuses():
    check = checks.check_normalize_channels
    assert_refused(check, lambda z, eps: F.group_norm(z, z.shape[1], eps=eps), "over time")
    assert_refused(check, lambda z, eps: F.group_norm(z, 1, eps=eps), "channels and time together")
    assert_refused(check, lambda z, eps: (z - z.mean(1, keepdim=True)) / (z.var(1, keepdim=True) + eps).sqrt(), "C - 1")
    assert_refused(check, lambda z, eps: normalize_channels(z, 0) * (1 - eps), "√(variance + ε)")
    assert_refused(
        check,
        lambda z, eps: (z - z.mean(1, keepdim=True)) / (z.std(1, correction=0, keepdim=True) + eps),
        "before the root",
    )
    assert_refused(
        check,
        lambda z, eps: (z - z.mean(1, keepdim=True)) / (z.var(1, correction=0, keepdim=True) + eps),
        "not by the variance",
    )
    assert_refused(check, lambda *_args: torch.zeros(1), "shape")


def test_design_stack_refuses():
    check = checks.check_design_stack
    assert_refused(check, lambda: ((400,), (160, 1)), "1 kernels and 2 strides")
    assert_refused(check, lambda: ((2,) * 7, (2,) * 7), "at most six")
    assert_refused(check, lambda: ((80, 80), (80, 80)), "must multiply")
    assert_refused(check, lambda: ((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)), "at most six")
    assert_refused(check, lambda: ((10, 3, 3, 3, 3), (5, 2, 2, 2, 2)), "Your hop is 80")
    assert_refused(check, lambda: ((4, 5, 4, 3, 2), (5, 4, 4, 2, 1)), "steps over some of its input")
    assert_refused(check, lambda: ((10, 3, 3, 3, 3, 2), (5, 2, 2, 2, 2, 2)), "Your field is 240")
    assert_refused(check, lambda: ((0,), (160,)), "positive whole numbers")
