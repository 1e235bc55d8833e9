"""The CTC explorer: every control over its whole range, any text, its numbers, and the words it says."""

import math

import pytest
import torch

from w2v2_teach.ctc import ctc_loss
from w2v2_teach.widgets.ctc import FRAMES, LETTERS, SHARPNESS, TOKENS, ctc_explorer, encode, spoken


@pytest.fixture(scope="module")
def explorer():
    return ctc_explorer()


def test_every_frame_gives_another_picture(explorer, looks_at):
    frames = range(1, FRAMES + 1)
    pictures, sentences = looks_at(explorer, "frame", frames)
    assert len(pictures) == FRAMES
    assert all(f"At frame {frame} of {FRAMES}" in sentence for frame, sentence in zip(frames, sentences, strict=True))


def test_every_sharpness_gives_another_picture_and_surer_frames_a_smaller_loss(explorer, looks_at):
    pictures, sentences = looks_at(explorer, "sharpness", SHARPNESS)
    losses = [float(sentence.split("a loss of ")[1].split()[0]) for sentence in sentences]
    assert len(pictures) == len(SHARPNESS)
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("name", ["said", "target"])
def test_any_text_may_be_typed(explorer, looks_at, name):
    words = ["", "a", "aaaaaa", "Hello!", "ça va", "much too long a text", "12", "zz"]
    pictures, sentences = looks_at(explorer, name, words)
    assert len(pictures) >= len(words) - 1, "“” and “12” have no letters"
    label = {"said": "Said", "target": "to be written"}[name]
    for word, sentence in zip(["", "a", "aaaaaa", "hello", "ava", "muchto", "", "zz"], sentences, strict=True):
        assert f"{label}: “{word}”" in sentence


def test_its_loss_is_the_packages(explorer):
    log_probs, target = spoken("hello", 1.0), torch.tensor([encode("hello")])
    loss = ctc_loss(log_probs[None], target, torch.tensor([FRAMES]), torch.tensor([5])).item()
    assert f"P = {math.exp(-loss):.3g}, a loss of {loss:.2f} nats" in explorer.alt


def test_the_word_that_is_said_is_the_cheapest():
    log_probs = spoken("hello", 1.0)
    frames = torch.tensor([FRAMES])
    costs = {
        word: ctc_loss(log_probs[None], torch.tensor([encode(word)]), frames, torch.tensor([len(word)])).item()
        for word in ("hello", "helo", "hallo", "hell", "hellow", "jello")
    }
    assert min(costs, key=costs.get) == "hello"


def test_frames_are_distributions_over_blank_and_letters():
    for word in ("", "hi", "z" * LETTERS):
        assert spoken(word, 2.0).shape == (FRAMES, len(TOKENS))
        torch.testing.assert_close(spoken(word, 2.0).exp().sum(dim=1), torch.ones(FRAMES))
