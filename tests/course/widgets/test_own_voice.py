"""One's own voice, in Python: what is uploaded or recorded is looked at, and what is no sound is said to be none."""

import io
from datetime import datetime

import numpy as np
import pytest
import soundfile
import torch

from w2v2_teach.analysis.codebooks import CodedCorpus
from w2v2_teach.config import Wav2Vec2Config
from w2v2_teach.course.widgets.attention import AttentionExplorer
from w2v2_teach.course.widgets.codebook import CodebookExplorer
from w2v2_teach.course.widgets.own_voice import SECONDS, OwnVoice
from w2v2_teach.model import Wav2Vec2ForPreTraining


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    shape = {"conv_dim": (8, 8), "conv_kernel": (40, 20), "conv_stride": (40, 20), "hidden_size": 16}  # 50 ms a frame
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    codes = {"num_codevectors_per_group": 8, "codevector_dim": 8}
    return Wav2Vec2ForPreTraining(Wav2Vec2Config(**shape, **layers, **positions, **codes))


@pytest.fixture
def voice(model):
    codes, nothing = np.random.default_rng(0).integers(0, 8, (100, 2)), np.full(100, "")
    phones = np.array(["AA", "S"] * 50)
    return OwnVoice(model, CodedCorpus(codes, phones, nothing, nothing, np.zeros(100, int), np.arange(100), 8))


def sound(seconds: float, rate: int = 16_000) -> np.ndarray:
    return 0.3 * np.sin(np.arange(round(seconds * rate)) / 7).astype(np.float32)


def upload(voice: OwnVoice, name: str, content: bytes) -> None:
    voice.upload.value = [
        {"name": name, "type": "", "size": len(content), "content": content, "last_modified": datetime(2026, 1, 1)}
    ]


def record(voice: OwnVoice, samples: np.ndarray) -> None:
    """As a browser sends it: bytes come as a view of them."""
    voice.recorder.set_state({"recording": memoryview((32_767 * samples).astype("<i2").tobytes())})


@pytest.mark.parametrize(("form", "rate"), [("WAV", 44_100), ("FLAC", 16_000), ("OGG", 48_000), ("MP3", 22_050)])
def test_an_uploaded_clip_is_shown_in_both_explorers(voice, form, rate):
    file = io.BytesIO()
    soundfile.write(file, sound(2.0, rate), rate, format=form)
    upload(voice, f"me.{form.lower()}", file.getvalue())
    codes, attention = voice.view.children
    assert isinstance(codes, CodebookExplorer)
    assert isinstance(attention, AttentionExplorer)
    assert codes.clips[0]["speaker"] == "you"
    assert codes.clips[0]["samples"] == pytest.approx(32_000, abs=2_000)  # a codec may add a little
    assert codes.clips[0]["frames"] == attention.shape["frames"]
    assert "role='status'" in voice.message.value
    assert "your clip, 2." in voice.message.value


def test_a_long_clip_is_cut_and_that_is_said(voice):
    file = io.BytesIO()
    soundfile.write(file, sound(SECONDS + 3), 16_000, format="WAV")
    upload(voice, "long.wav", file.getvalue())
    assert voice.view.children[0].clips[0]["samples"] == SECONDS * 16_000
    assert f"the first {SECONDS} s of your clip" in voice.message.value


@pytest.mark.parametrize("content", [b"", b"This is a letter, not a sound.", sound(0.001).tobytes()])
def test_a_file_that_is_no_sound_gets_one_clear_sentence(voice, content):
    upload(voice, "<b>letter</b>.txt", content)
    assert voice.view.children == ()
    assert "role='alert'" in voice.message.value
    assert "&lt;b&gt;letter&lt;/b&gt;.txt" in voice.message.value
    assert "WAV, FLAC, OGG and MP3 can be read" in voice.message.value


def test_a_recording_is_shown_and_a_second_one_takes_its_place(voice):
    for seconds in (1.0, 1.5):
        record(voice, sound(seconds))
        assert voice.view.children[0].clips[0]["samples"] == seconds * 16_000


@pytest.mark.parametrize("samples", [np.zeros(16_000), sound(0.06)])
def test_silence_and_less_than_two_frames_are_said_to_be_nothing(voice, samples):
    record(voice, samples)
    assert voice.view.children == ()
    assert "There is nothing to hear in this clip" in voice.message.value


def test_without_a_kernel_one_sentence_stands_in_its_place(voice):
    assert "needs a running kernel" in voice._repr_mimebundle_()["text/plain"]
