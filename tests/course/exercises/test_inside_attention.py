"""The checks of notebook 09 refuse plausible mistakes, each with its own words, and pass what is right."""

import numpy as np
import torch
from answers import AnswerTests

from w2v2_teach.analysis import attention as package
from w2v2_teach.course.exercises import inside_attention as checks


def entropy(p):
    return -torch.xlogy(p, p).sum(dim=-1)


def verticality(attention):
    return -entropy(attention.mean(dim=1))


def class_ratio(attention, asking, asked):
    return attention[asking][:, asked].sum(dim=1).mean() / asked.float().mean()


def rollout(attentions):
    mixed = torch.eye(attentions.shape[-1])
    for weights in attentions:
        mixed = (0.5 * weights.mean(dim=0) + 0.5 * torch.eye(len(mixed))) @ mixed
    return mixed


def silence(heads, head, num_heads):
    width = heads.shape[-1] // num_heads
    heads = heads.clone()
    heads[..., head * width : (head + 1) * width] = 0
    return heads


def silence_interleaved(heads, head, num_heads):
    heads = heads.clone()
    heads[..., head::num_heads] = 0
    return heads


def silence_in_place(heads, head, num_heads):
    width = heads.shape[-1] // num_heads
    heads[..., head * width : (head + 1) * width] = 0
    return heads


def silence_one(heads, head, _num_heads):
    heads = heads.clone()
    heads[..., head] = 0
    return heads


def rollout_backwards(attentions):
    return rollout(attentions.flip(0))


def rollout_without_residual(attentions):
    mixed = torch.eye(attentions.shape[-1])
    for weights in attentions:
        mixed = weights.mean(dim=0) @ mixed
    return mixed


def rollout_not_halved(attentions):
    mixed = torch.eye(attentions.shape[-1])
    for weights in attentions:
        mixed = (weights.mean(dim=0) + torch.eye(len(mixed))) @ mixed
    return mixed


def step(weights):
    return 0.5 * weights.mean(dim=-3) + 0.5 * torch.eye(weights.shape[-1])


SOLUTIONS = [
    (checks.check_verticality, verticality),
    (checks.check_class_ratio, class_ratio),
    (checks.check_rollout, rollout),
    (checks.check_silence, silence),
]

WRONG = [
    (checks.check_verticality, lambda a: -verticality(a), "upside down"),
    (checks.check_verticality, lambda a: -entropy(a).mean(dim=1), "average the queries first"),
    (checks.check_verticality, lambda a: entropy(a).mean(dim=1), "This is globalness"),
    (checks.check_verticality, lambda a: -entropy(a.mean(dim=2)), "over the keys"),
    (checks.check_verticality, lambda a: verticality(a) / np.log(2), "in bits"),
    (checks.check_verticality, lambda a: verticality(a).mean(), "one number per head"),
    (checks.check_verticality, lambda a: (a.mean(dim=1) * a.mean(dim=1).log()).sum(dim=1), "0 · ln 0"),
    (checks.check_class_ratio, lambda a, q, k: class_ratio(a, q, k) * k.float().mean(), "share itself"),
    (
        checks.check_class_ratio,
        lambda a, q, k: class_ratio(a, q, k) * k.float().mean() / q.float().mean(),
        "share of the asking",
    ),
    (checks.check_class_ratio, lambda a, q, k: class_ratio(a, k, q), "changed places"),
    (checks.check_class_ratio, lambda a, q, k: class_ratio(a, q, k) * q.sum(), "take their mean"),
    (checks.check_class_ratio, lambda a, q, k: a[q][:, k].mean() / k.float().mean(), "sum over keys"),
    (checks.check_class_ratio, lambda a, _, k: class_ratio(a, k | True, k), "only the asking"),
    (checks.check_class_ratio, lambda a, q, k: a[q][:, k].sum(dim=1) / k.float().mean(), "shape"),
    (checks.check_rollout, rollout_backwards, "wrong way"),
    (checks.check_rollout, rollout_without_residual, "residual connection is missing"),
    (checks.check_rollout, rollout_not_halved, "do not add up to 1"),
    (checks.check_rollout, lambda a: 0.5 * rollout_without_residual(a) + 0.5 * torch.eye(a.shape[-1]), "at the end"),
    (checks.check_rollout, lambda a: step(a).prod(dim=0), "element by element"),
    (checks.check_rollout, lambda a: step(a)[-1], "last layer alone"),
    (checks.check_rollout, lambda a: step(a).mean(dim=0), "averaged the layers"),
    (checks.check_silence, silence_interleaved, "side by side"),
    (checks.check_silence, silence_in_place, "clone it first"),
    (checks.check_silence, silence_one, "one channel"),
    (checks.check_silence, lambda x, h, H: silence(x, h - 1, H) if h else silence(x, 0, 1) * 0 + x, "counted from 0"),
    (checks.check_silence, lambda x, h, H: x - silence(x, h, H), "all heads but this one"),
    (checks.check_silence, lambda x, *_: x, "Nothing is silent"),
]


class TestAnswers(AnswerTests):
    SOLUTIONS, WRONG = SOLUTIONS, WRONG


def test_the_solutions_agree_with_the_package():
    maps = torch.randn(3, 4, 9, 9).mul(2).softmax(dim=-1)  # (layers, H, T, T)
    assert np.abs(verticality(maps[0]).numpy() - package.verticality(maps[0])).max() < 1e-6
    assert np.abs(rollout(maps).numpy() - package.rollout(maps)[-1]).max() < 1e-6
    labels = ["s", "v", "v", "s", "v", "v", "v", "s", "v"]
    asking, asked = (torch.tensor([label == name for label in labels]) for name in "sv")
    table = package.attention_by_class([maps[1, 2]], [labels])
    assert abs(class_ratio(maps[1, 2], asking, asked).item() - table.ratio[0, 1]) < 1e-6
