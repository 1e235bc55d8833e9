"""Files become 16 kHz mono waveforms; batches are normalized and padded as transformers does it."""

import io

import numpy as np
import pytest
import soundfile
import torch
from transformers import Wav2Vec2FeatureExtractor

from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.speech.audio import (
    MIN_SAMPLES,
    AudioError,
    alias_frequency,
    count_samples,
    load_audio,
    normalize,
    pad_batch,
)


def sine(rate: int, seconds: float = 1.0, frequency: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def file_object(samples: np.ndarray, rate: int = SAMPLE_RATE, **layout) -> io.BytesIO:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **({"format": "WAV", "subtype": "FLOAT"} | layout))
    file.seek(0)
    return file


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 48_000])
def test_every_rate_becomes_16_khz(rate):
    waveform = load_audio(file_object(sine(rate), rate))
    assert waveform.shape == (SAMPLE_RATE,)
    assert waveform.dtype == torch.float32
    middle = slice(1_000, -1_000)  # a resampler has no neighbors at the edges
    torch.testing.assert_close(waveform[middle], torch.from_numpy(sine(SAMPLE_RATE)).float()[middle], atol=2e-3, rtol=0)


def test_what_16_khz_cannot_carry_is_filtered_out_not_folded_back():
    high = load_audio(file_object(sine(48_000, frequency=11_000), 48_000))  # would alias to 5 kHz
    assert high[1_000:-1_000].abs().max() < 1e-3


@pytest.mark.parametrize(
    ("container", "subtype", "tolerance"),
    [("WAV", "PCM_16", 1e-4), ("FLAC", "PCM_16", 1e-4), ("OGG", "VORBIS", 0.05), ("OGG", "OPUS", 0.05)],
)
def test_formats(tmp_path, container, subtype, tolerance):
    path = tmp_path / f"tone.{container.lower()}"
    soundfile.write(path, sine(SAMPLE_RATE), SAMPLE_RATE, format=container, subtype=subtype)
    expected = torch.from_numpy(sine(SAMPLE_RATE)).float()
    torch.testing.assert_close(load_audio(path)[500:-500], expected[500:-500], atol=tolerance, rtol=0)


def test_channels_are_averaged():
    stereo = np.stack([np.full(1_000, 0.75), np.full(1_000, -0.25)], axis=1)
    torch.testing.assert_close(load_audio(file_object(stereo)), torch.full((1_000,), 0.25))


def test_a_slice_is_the_same_part_of_the_whole():
    file = file_object(np.random.default_rng(0).uniform(-1, 1, 5 * SAMPLE_RATE))
    whole = load_audio(file)
    part = load_audio(file, offset=1.5, duration=0.25)
    assert torch.equal(part, whole[24_000:28_000])
    assert torch.equal(load_audio(file, offset=4.9, duration=60), whole[78_400:]), "reads to the end"


def test_a_slice_reads_no_more_than_it_needs():
    class Counting(io.BytesIO):
        bytes_read = 0

        def readinto(self, buffer):
            count = super().readinto(buffer)
            self.bytes_read += count
            return count

    file = Counting(file_object(np.zeros(60 * SAMPLE_RATE)).getvalue())
    load_audio(file, offset=30, duration=0.5)
    needed = 4 * SAMPLE_RATE // 2  # bytes: half a second of the 60, in float32
    assert needed <= file.bytes_read < 2 * needed


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("length", [2_000, 4_001, 7_777])
def test_count_samples_is_the_length_of_the_waveform(rate, length):
    file = file_object(np.zeros(length), rate)
    assert count_samples(file) == len(load_audio(file))


def assert_refused(source, *words: str, **slice_of):
    with pytest.raises(AudioError) as caught:
        load_audio(source, **slice_of)
    for word in words:
        assert word in str(caught.value)


def test_files_that_are_no_good(tmp_path):
    assert_refused(tmp_path / "nobody.wav", "nobody.wav", "no such file")
    assert_refused(tmp_path, "is a folder")
    (tmp_path / "notes.wav").write_text("not sound at all")
    assert_refused(tmp_path / "notes.wav", "notes.wav", "not audio")
    (tmp_path / "headless.raw").write_bytes(bytes(2_000))
    assert_refused(tmp_path / "headless.raw", "headless.raw", "not audio")
    (tmp_path / "zero.wav").touch()
    assert_refused(tmp_path / "zero.wav", "zero.wav", "empty")
    assert_refused(file_object(np.zeros(0)), "empty")
    with pytest.raises(AudioError, match="no such file"):
        count_samples(tmp_path / "nobody.wav")


def test_a_flac_file_that_breaks_off(tmp_path):
    samples = np.random.default_rng(0).uniform(-1, 1, SAMPLE_RATE)
    whole = file_object(samples, format="FLAC", subtype="PCM_16").getvalue()
    (tmp_path / "half.flac").write_bytes(whole[: len(whole) // 2])
    assert_refused(tmp_path / "half.flac", "half.flac", "breaks off")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [16_000, 8_000])
def test_samples_that_are_no_numbers(bad, rate):
    samples = np.zeros(2_000)
    samples[700] = bad
    assert_refused(file_object(samples, rate), "NaN or infinite")


def test_one_frame_is_the_least():
    assert len(load_audio(file_object(np.ones(MIN_SAMPLES)))) == 400
    assert_refused(file_object(np.ones(399)), "at least 400 samples at 16 kHz", "this is 399")
    assert len(load_audio(file_object(np.ones(200), 8_000))) == 400, "counted at 16 kHz"
    assert_refused(file_object(np.ones(16_000)), "this is 160", duration=0.01)
    assert_refused(file_object(np.ones(16_000)), "this is 0", duration=0)


@pytest.mark.parametrize(
    ("slice_of", "word"),
    [
        ({"offset": 1.0}, "ends at 1.000 s"),
        ({"offset": float("inf")}, "ends at 1.000 s"),
        ({"offset": -0.1}, "seconds from 0 up"),
        ({"duration": -0.1}, "seconds from 0 up"),
        ({"offset": float("nan")}, "seconds from 0 up"),
        ({"duration": float("nan")}, "seconds from 0 up"),
    ],
)
def test_slices_that_do_not_exist(slice_of, word):
    assert_refused(file_object(np.ones(SAMPLE_RATE)), word, **slice_of)


def test_normalize_by_hand():
    torch.testing.assert_close(normalize(torch.tensor([1.0, 3.0])), torch.tensor([-1.0, 1.0]))
    assert torch.equal(normalize(torch.full((500,), 0.25)), torch.zeros(500)), "silence stays finite"


def test_pad_batch_equals_transformers():
    generator = torch.Generator().manual_seed(0)
    waveforms = [0.3 * torch.randn(length, generator=generator) + 0.1 for length in (400, 5_000, 1_234)]
    reference = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)(
        [x.numpy() for x in waveforms], sampling_rate=SAMPLE_RATE, padding=True, return_tensors="pt"
    )
    input_values, attention_mask = pad_batch(waveforms)
    assert input_values.dtype == torch.float32
    assert attention_mask.dtype == torch.long
    torch.testing.assert_close(input_values, reference["input_values"], atol=1e-5, rtol=0)
    assert torch.equal(attention_mask, reference["attention_mask"].long())


def test_neighbors_do_not_change_a_waveform():
    generator = torch.Generator().manual_seed(0)
    short, long = torch.randn(400, generator=generator), 9 * torch.randn(900, generator=generator)
    alone, _ = pad_batch([short])
    together, mask = pad_batch([short, long])
    assert torch.equal(together[0, :400], alone[0])
    assert not together[0, 400:].any()
    assert mask.sum(dim=1).tolist() == [400, 900]


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="at least one waveform"):
        pad_batch([])


@pytest.mark.parametrize(
    ("tone", "rate", "alias"),
    [(1_000, 8_000, 1_000), (4_000, 8_000, 4_000), (7_000, 8_000, 1_000), (8_000, 8_000, 0), (9_000, 8_000, 1_000),
     (12_000, 8_000, 4_000), (15_000, 8_000, 1_000), (16_000, 2_000, 0), (250, 2_000, 250)],
)  # fmt: skip
def test_alias_frequency_by_hand(tone, rate, alias):
    assert alias_frequency(tone, rate) == alias


def test_alias_has_the_same_samples():
    generator = np.random.default_rng(0)
    n = np.arange(50)
    for tone, rate in zip(generator.integers(1, 50_000, 40), generator.integers(2_000, 16_000, 40), strict=True):
        alias = alias_frequency(tone, rate)
        assert 0 <= alias <= rate / 2
        np.testing.assert_allclose(np.cos(2 * np.pi * tone * n / rate), np.cos(2 * np.pi * alias * n / rate), atol=1e-8)
