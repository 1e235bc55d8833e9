"""What the CTC explorer makes in Python and sends to the browser; what it does there is tested there."""

import math
import string

import numpy as np
import pytest
import torch

from w2v2_teach.config import TINY
from w2v2_teach.course.widgets.ctc import FRAMES, LETTERS, TOKENS, CTCExplorer, encode, spoken, word_clip
from w2v2_teach.ctc import ctc_loss
from w2v2_teach.decoding.vocabulary import Vocabulary
from w2v2_teach.speech.corpora import toy_speech

VOCABULARY = Vocabulary(["<pad>", "|", *string.ascii_lowercase])


@pytest.fixture(scope="module")
def utterance():
    return toy_speech().split("test")[0]


@pytest.fixture(scope="module")
def log_probs(utterance):
    """(T, V) of a recognizer that hears each letter for two frames, and each space for one, then silence."""
    frames = TINY.frame_lengths(utterance.num_samples)
    heard = [token for token in VOCABULARY.encode(utterance.text) for _ in range(1 if token == 1 else 2)]
    logits = torch.zeros(frames, len(VOCABULARY))
    logits[range(frames), (heard + frames * [0])[:frames]] = 10
    return logits.log_softmax(1)


def test_the_static_figures_loss_is_the_packages():
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


def test_a_clip_holds_the_frames_between_two_spaces(utterance, log_probs):
    words = utterance.text.split()
    clips = [word_clip(utterance, number, log_probs, VOCABULARY, TINY) for number in range(len(words))]
    assert [clip.text for clip in clips] == words
    first = 0
    for word, clip in zip(words[:-1], clips, strict=False):
        assert len(clip.log_probs) == 2 * len(word)
        assert torch.equal(clip.log_probs, log_probs[first : first + 2 * len(word)])
        assert torch.equal(clip.waveform, utterance.waveform()[320 * first + 40 :][: 320 * 2 * len(word)])
        first += 2 * len(word) + 1
    assert first + len(clips[-1].log_probs) == len(log_probs), "the last word keeps what follows it"
    assert len(clips[-1].waveform) == 320 * len(clips[-1].log_probs)


def test_clips_are_sent_one_after_the_other(utterance, log_probs):
    clips = [word_clip(utterance, number, log_probs, VOCABULARY, TINY) for number in (0, 2)]
    explorer = CTCExplorer(clips)
    sent = np.frombuffer(explorer.log_probs, "<f4").reshape(-1, len(VOCABULARY))
    torch.testing.assert_close(torch.from_numpy(sent.copy()), torch.cat([clip.log_probs for clip in clips]))
    assert [clip["frames"] for clip in explorer.clips] == [len(clip.log_probs) for clip in clips]
    samples = np.frombuffer(explorer.samples, "<i2")
    assert len(samples) == sum(clip["length"] for clip in explorer.clips)
    assert np.abs(samples).max() == 32767
