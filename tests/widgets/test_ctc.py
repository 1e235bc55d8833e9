"""What the CTC explorer makes in Python and sends to the browser; what it does there is tested there."""

import math

import numpy as np
import pytest
import torch

from w2v2_teach.config import TINY
from w2v2_teach.corpus import Interval, toy_speech
from w2v2_teach.ctc import ctc_loss
from w2v2_teach.vocabulary import Vocabulary
from w2v2_teach.widgets.ctc import AROUND, FRAMES, LETTERS, TOKENS, CTCExplorer, encode, spoken, word_clip

VOCABULARY = Vocabulary(["<pad>", "|", "a", "b"])


@pytest.fixture(scope="module")
def utterance():
    return toy_speech().split("test")[0]


def clip_of(utterance, word):
    frames = TINY.frame_lengths(utterance.num_samples)
    log_probs = torch.randn(frames, len(VOCABULARY)).log_softmax(1)
    return word_clip(utterance, word, log_probs, VOCABULARY, TINY), log_probs


def test_the_static_twins_loss_is_the_packages():
    log_probs, target = spoken("hello", 1.0), torch.tensor([encode("hello")])
    loss = ctc_loss(log_probs[None], target, torch.tensor([FRAMES]), torch.tensor([5])).item()
    assert f"P = {math.exp(-loss):.3g}, a loss of {loss:.2f} nats" in CTCExplorer().alt


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


def test_a_clip_holds_the_word_and_two_frames_around_it(utterance):
    word = utterance.words[2]
    clip, log_probs = clip_of(utterance, word)
    assert len(clip.waveform) == 320 * len(clip.log_probs)
    assert abs(len(clip.log_probs) - 2 * AROUND - (word.end - word.start) * 50) <= 1
    at = next(t for t in range(len(log_probs)) if torch.equal(log_probs[t], clip.log_probs[0]))
    assert 0.02 * at + 0.0125 == pytest.approx(word.start - 0.02 * AROUND, abs=0.0201)


def test_a_clip_at_the_very_beginning_and_end(utterance):
    for start, end in ((0.0, 0.1), (utterance.duration - 0.2, utterance.duration)):
        clip, _ = clip_of(utterance, Interval(start, end, "a"))
        assert abs(len(clip.waveform) - 320 * len(clip.log_probs)) <= 40


def test_clips_are_sent_one_after_the_other(utterance):
    clips = [clip_of(utterance, word)[0] for word in utterance.words[:2]]
    explorer = CTCExplorer(clips)
    sent = np.frombuffer(explorer.log_probs, "<f4").reshape(-1, len(VOCABULARY))
    torch.testing.assert_close(torch.from_numpy(sent.copy()), torch.cat([clip.log_probs for clip in clips]))
    assert [clip["frames"] for clip in explorer.clips] == [len(clip.log_probs) for clip in clips]
    samples = np.frombuffer(explorer.samples, "<i2")
    assert len(samples) == sum(clip["length"] for clip in explorer.clips)
    assert np.abs(samples).max() == 32767
