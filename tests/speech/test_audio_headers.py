"""Files whose header lies are read to their end, or refused with the second at which they break off."""

import io
import os
import struct

import numpy as np
import pytest
import soundfile

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.speech import audio_headers
from w2v2_teach.speech.audio import AudioError, AudioFile, count_samples, load_audio

SECONDS = 11


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """(L,) a loud and a quiet second in turn, so that the bit rate of an MP3 file varies."""
    time = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, len(time))
    return np.where(time % 2 < 1, noise, 0.01 * np.sin(2 * np.pi * 300 * time))


def encoded(samples: np.ndarray, rate: int = SAMPLE_RATE, **layout) -> bytearray:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **layout)
    return bytearray(file.getvalue())


def wav(samples: np.ndarray, size: int | None = None, after: bytes = b"") -> bytearray:
    """A WAV file of 16 bits; `size` is what its header says in place of the true sizes."""
    content = encoded(samples, format="WAV", subtype="PCM_16") + after
    data = content.index(b"data") + 4
    for place in (4, data):
        if size is not None:
            content[place : place + 4] = struct.pack("<I", size)
    return content


def flac(samples: np.ndarray, length: int | None = None) -> bytearray:
    """A FLAC file; `length` is what its header says in place of the true one, 0 where it does not know."""
    content = encoded(samples, format="FLAC", subtype="PCM_16")
    if length is not None:
        content[21] &= 0xF0  # STREAMINFO counts the samples in 36 bits, the last of byte 21 and the four after it
        content[22:26] = struct.pack(">I", length)
    return content


def mp3(samples: np.ndarray, counted: bool = True, **layout) -> bytearray:
    """An MP3 file of variable bit rate, with or without the first frame, which counts the others."""
    content = encoded(samples, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5, **layout)
    return content if counted else content[content.index(content[:2], 4) :]


@pytest.fixture(params=["path", "file object"])
def source(request, tmp_path):
    """Bytes → a path, or a file object, that holds them."""

    def keep(content: bytes):
        if request.param == "file object":
            return io.BytesIO(content)
        (tmp_path / "sound").write_bytes(content)
        return tmp_path / "sound"

    return keep


# --- headers that do not know the length ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stream",
    [
        lambda sound: flac(sound, length=0),
        lambda sound: wav(sound, size=0),
        lambda sound: wav(sound, size=0x7FFFF000),
        lambda sound: wav(sound, size=0xFFFFFFFF),
    ],
    ids=["flac without length", "wav sizes 0", "wav sizes of sox", "wav sizes of ffmpeg"],
)
def test_what_was_written_to_a_pipe_is_read_to_its_end(source, sound, stream):
    file = source(stream(sound))
    assert count_samples(file) == len(sound)
    np.testing.assert_allclose(load_audio(file), sound, atol=1e-4)
    np.testing.assert_allclose(load_audio(file, offset=9.5, duration=60), sound[152_000:], atol=1e-4)


def test_a_flac_file_without_length_is_not_changed(tmp_path, sound):
    (tmp_path / "piped.flac").write_bytes(flac(sound, length=0))
    load_audio(tmp_path / "piped.flac")
    assert (tmp_path / "piped.flac").read_bytes() == flac(sound, length=0)


def test_a_wav_file_that_is_really_empty(source):
    after = b"LIST" + struct.pack("<I", 12) + b"INFOISFT\0\0\0\0"
    for content in (wav(np.zeros(0)), wav(np.zeros(0), after=after)):
        for read in (load_audio, count_samples):
            with pytest.raises(AudioError, match="is empty: it holds no samples"):
                read(source(content))


@pytest.mark.parametrize("rate", [16_000, 44_100, 8_000], ids=["mpeg 2", "mpeg 1", "mpeg 2.5"])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_without_a_count_is_read_to_its_end(source, rate, channels):
    time = np.arange(SECONDS * rate) / rate
    tone = np.where(time < 1, 0.001, 0.4) * np.sin(2 * np.pi * (300 + 40 * time) * time)  # each moment sounds different
    stack = np.stack([tone] * channels, axis=1)
    expected = load_audio(io.BytesIO(mp3(stack, rate=rate)))
    file = source(mp3(stack, counted=False, rate=rate))
    found = load_audio(file)
    assert count_samples(file) == len(found)
    assert 0 <= len(found) - len(expected) < 0.3 * SAMPLE_RATE, "encoders put a little silence around the sound"
    last = expected[-SAMPLE_RATE:].numpy()
    assert np.abs(np.correlate(found.numpy(), last / np.dot(last, last))).max() == pytest.approx(1, abs=0.02)


def test_mp3_of_constant_bit_rate_with_tags_around(source, sound):
    """What is not sound does not count as such, whether the bit rate would tell the length or not."""
    content = encoded(sound, format="MP3", bitrate_mode="CONSTANT")
    frames = content[content.index(content[:2], 4) :]
    before = b"ID3\x04\0\0\0\0\x0f\x50" + b"\xff\xfb\x90\x00" * 500  # of 15 · 128 + 80 bytes
    after = b"APETAGEX" + b"\xff\xd8\xff\xe0" * 5_000 + b"TAG" + bytes(125)
    assert len(before) == 2_010
    file = source(before + frames + after)
    assert count_samples(file) == len(load_audio(file)) == count_samples(io.BytesIO(frames))
    assert count_samples(file) == pytest.approx(len(sound), abs=2_000)


def test_joined_mp3_files_are_read_as_a_whole(source, sound):
    one, two = mp3(sound), mp3(sound[::-1])
    file = source(one + b"TAG" + bytes(125) + two)
    assert count_samples(file) == len(load_audio(file)) == pytest.approx(2 * len(sound), abs=4_000)


def test_honest_mp3_is_what_it_was(source, sound):
    content = mp3(sound)
    expected, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    assert len(expected) == len(sound)
    np.testing.assert_allclose(load_audio(source(content)), expected, atol=1e-6)


# --- files that break off ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "least", "most"),
    [
        ({"format": "WAV", "subtype": "PCM_16"}, 5.45, 5.55),
        ({"format": "WAVEX", "subtype": "FLOAT"}, 5.45, 5.55),
        ({"format": "AIFF", "subtype": "PCM_16"}, 5.45, 5.55),
        ({"format": "AU", "subtype": "PCM_16"}, 5.45, 5.55),
        ({"format": "W64", "subtype": "PCM_16"}, 5.45, 5.55),
        ({"format": "RF64", "subtype": "PCM_16"}, 5.45, 5.55),
        ({"format": "FLAC", "subtype": "PCM_16"}, 4.5, 6),
        ({"format": "OGG", "subtype": "VORBIS"}, 3.5, 6),
        ({"format": "OGG", "subtype": "OPUS"}, 3.5, 6),
        ({"format": "MP3", "bitrate_mode": "VARIABLE"}, 4.5, 6),
        ({"format": "MP3", "bitrate_mode": "CONSTANT"}, 5, 6),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_half_a_file_breaks_off(source, sound, layout, least, most):
    content = encoded(sound, **layout)
    with pytest.raises(AudioError, match=r"breaks off or is damaged at \d\.\d\d s: get a whole copy") as caught:
        load_audio(source(content[: len(content) // 2]))
    second = float(str(caught.value).split(" at ")[1].split(" s")[0])
    assert least < second < most
    assert count_samples(source(content)) == len(load_audio(source(content))) == len(sound), "the whole is fine"


def test_flac_that_promises_more_than_it_holds(source, sound):
    for content in (flac(sound, length=50 * SAMPLE_RATE), flac(sound, length=0)[:-20_000]):
        with pytest.raises(AudioError, match="breaks off or is damaged at"):
            load_audio(source(content))
    with pytest.raises(AudioError, match=r"damaged at 11\.00 s"):
        load_audio(source(flac(sound, length=50 * SAMPLE_RATE)))


def test_half_of_an_mp3_file_without_a_count_is_all_there_is(source, sound):
    content = mp3(sound, counted=False)
    file = source(content[: len(content) // 2])
    assert count_samples(file) == len(load_audio(file)) == pytest.approx(len(sound) / 2, rel=0.1)


def test_sloppy_sizes_are_no_loss(source, sound):
    """Some writers count the header as sound."""
    assert count_samples(source(wav(sound, size=2 * len(sound) + 36))) == len(sound)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_streams_in_a_row_are_not_cut_to_the_first(source, sound, subtype):
    content = encoded(sound, format="OGG", subtype=subtype)
    for read in (load_audio, count_samples):
        with pytest.raises(AudioError, match="several Ogg streams in a row, of which only the first would be read"):
            read(source(content + content))
    assert count_samples(source(content + b"TAG" + bytes(125))) == len(sound), "a tag at the end is harmless"


# --- formats that cannot be searched ----------------------------------------------------------------------------------


def test_gsm_is_read_from_front_to_back(source, sound):
    file = source(encoded(sound[::2], 8_000, format="WAV", subtype="GSM610"))
    whole = load_audio(file)
    assert len(whole) == count_samples(file) == pytest.approx(len(sound), abs=700)
    part = load_audio(file, offset=5.0, duration=0.5)
    np.testing.assert_allclose(part[400:-400], whole[80_400:87_600], atol=1e-3)


@pytest.mark.parametrize("layout", [{"format": "MP3"}, {"format": "WAV", "subtype": "GSM610"}, {"format": "FLAC"}])
def test_slices_that_overlap_read_every_frame_once(monkeypatch, source, sound, layout):
    file = source(encoded(sound, **layout))
    whole = load_audio(file)
    read, original = [], audio_headers.ForwardFile.read_frames

    def counting(self, count):
        read.append(len(block := original(self, count)))
        return block

    monkeypatch.setattr(audio_headers.ForwardFile, "read_frames", counting)
    with AudioFile(file) as opened:
        length = opened.num_samples
        for start in range(0, length, 16_000):
            np.testing.assert_array_equal(opened.read(start / 16_000, 2.5), whole[start : start + 40_000])
        with pytest.raises(ValueError, match="front to back"):
            opened.read(1.0)
    assert sum(read) == length


# --- what is no file, and what is no sound ----------------------------------------------------------------------------


def test_honest_headers_are_all_that_is_read(sound):
    class Counting(io.BytesIO):
        bytes_read = 0

        def readinto(self, buffer):
            count = super().readinto(buffer)
            self.bytes_read += count
            return count

        def read(self, *_):
            pytest.fail("the whole file was read")

    long = np.tile(sound, 10)
    for content in (wav(long), flac(long), wav(long, size=0xFFFFFFFF)):
        file = Counting(content)
        assert count_samples(file) == len(long)
        assert file.bytes_read < 100_000 < len(content)


def test_pipes_are_named_as_such(tmp_path, sound):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match=r"pipe\.wav is a pipe or a device; a sound file is needed"):
        load_audio(tmp_path / "pipe.wav")
    reading, writing = os.pipe()
    os.write(writing, wav(sound[:4_000]))
    os.close(writing)
    with open(reading, "rb") as stream, pytest.raises(AudioError, match="cannot be read twice: read it into"):
        load_audio(stream)


def test_channels_of_opposite_phase_are_not_silence(source, sound):
    for channels in (
        np.stack([sound, -sound], axis=1),
        np.stack([sound, -0.999 * sound], axis=1),
        np.stack([sound, -sound / 2, -sound / 2], axis=1),
    ):
        for layout in ({"format": "WAV"}, {"format": "FLAC"}):
            with pytest.raises(AudioError, match="its channels are of opposite phase, so that their average is silent"):
                load_audio(source(encoded(channels, **layout)))


def test_channels_that_differ_are_averaged(source, sound):
    nothing = np.zeros_like(sound)
    step = np.sign(sound) / 32_768  # the last bit, of opposite sign: digital silence
    for channels in ([sound, nothing], [sound, -0.9 * sound], [sound, sound[::-1]], [nothing, nothing], [step, -step]):
        stack = np.stack(channels, axis=1)
        np.testing.assert_allclose(load_audio(source(encoded(stack, format="WAV"))), stack.mean(axis=1), atol=1e-4)
