"""A sound of any length, from any file, becomes the text and the word times that it becomes as a whole."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tones import FIELD, SILENCE, TONE, VOCABULARY, random_text, recognizer, speak

from w2v2_teach.checkpoints import CheckpointError
from w2v2_teach.config import TINY
from w2v2_teach.decoding import transcription
from w2v2_teach.decoding.beam_search import Hypothesis
from w2v2_teach.decoding.error_rates import error_rates
from w2v2_teach.decoding.ngram import NGramModel
from w2v2_teach.decoding.transcription import Recognizer, Transcript, between_words, mark_pauses, subtitles, windows
from w2v2_teach.decoding.vocabulary import Vocabulary, VocabularyError
from w2v2_teach.decoding.word_times import Word
from w2v2_teach.heads import Wav2Vec2ForCTC
from w2v2_teach.model import Wav2Vec2Model
from w2v2_teach.speech import corpora
from w2v2_teach.speech.audio import AudioError
from w2v2_teach.speech.audio_headers import ForwardFile

TEXT = random_text(40)  # about 20 s


@pytest.fixture(scope="module")
def tones():
    return recognizer()


@pytest.fixture
def checkpoint(tmp_path, base_style):
    """A folder with a model of random weights."""
    Wav2Vec2ForCTC(replace(base_style, vocab_size=len(VOCABULARY))).save_pretrained(tmp_path / "model")
    VOCABULARY.save(tmp_path / "model")
    return tmp_path / "model"


def true_times(text: str) -> list[tuple[float, float]]:
    """When each word of `tones.speak(text)` sounds, in seconds."""
    times, position = [], SILENCE
    for word in text.split():
        end = position + len(word) * (TONE + SILENCE)
        times.append((position, end - SILENCE))
        position = end + TONE + SILENCE  # the sound of the space
    return times


# --- windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [400, 719, 720, 31_999, 32_000, 32_001, 40_000, 56_000, 56_001, 123_457])
@pytest.mark.parametrize(("window", "overlap"), [(2.0, 0.5), (2.0, 0.54), (1.0, 0.8), (3.5, 0.06)])
def test_every_frame_is_kept_once(samples, window, overlap):
    kept = []
    for part in windows(samples, FIELD.hop, window, overlap):
        assert part.stop - part.start <= window * 16_000
        assert part.stop <= samples
        frames = range(TINY.frame_lengths(part.stop - part.start))
        kept += [part.start // FIELD.hop + frame for frame in frames[part.kept]]
    assert kept == list(range(TINY.frame_lengths(samples)))


def test_a_kept_frame_has_heard_half_the_overlap_beyond_it():
    parts = list(windows(100_000, FIELD.hop, 2.0, 0.5))
    assert [part.start for part in parts] == [0, 24_000, 48_000, 72_000]
    assert [part.kept for part in parts] == [slice(0, 87), slice(12, 87), slice(12, 87), slice(12, None)]


@pytest.mark.parametrize("overlap", [-1.0, 0.0, 2.0, 3.0])
def test_windows_that_do_not_move_on(tones, overlap):
    with pytest.raises(ValueError, match="cannot overlap"):
        tones.transcribe(torch.zeros(50_000), window=2.0, overlap=overlap)


def test_pieces_end_between_words():
    ids = torch.tensor([2, 2, 1, 1, 0, 3, 0, 3, 1, 1, 0, 4, 4, 4, 4, 4, 2, 1, 2])
    frames = torch.eye(8)[ids]  # (T, V)

    def cut(*lengths: int) -> list[list[int]]:
        return [piece.argmax(dim=1).tolist() for piece in between_words(frames.split(lengths), delimiter=1, pause=9)]

    assert cut(19) == [ids.tolist()], "a single piece stays whole"
    assert cut(1, 8, 3, 7) == [[2, 2, 1, 1], [0, 3, 0, 3, 1, 1], [0, 4, 4, 4, 4, 4, 2, 1, 2]]
    assert cut(9, 10) == [[2, 2, 1, 1], ids[4:].tolist()], "a delimiter at the end may go on"
    assert cut(2, 17) == [ids.tolist()], "no delimiter yet"


def test_a_long_pause_between_letters_separates_words():
    ids = [0] * 12 + [2] + [0] * 9 + [3] + [0] * 8 + [3, 1] + [0] * 20 + [4, 0, 4] + [0] * 12
    marked = mark_pauses(torch.eye(8)[ids].log(), delimiter=1, pause=9)
    found = marked.argmax(dim=1).tolist()
    assert [t for t in range(len(ids)) if found[t] != ids[t]] == [17], "between 2 and 3 alone"
    assert found[17] == 1
    assert torch.equal(mark_pauses(marked, delimiter=1, pause=9), marked), "once and for all"


@pytest.mark.parametrize("window", [60.0, 1.5])
def test_utterances_that_follow_without_a_delimiter(tones, window):
    pause = np.zeros(8_000, dtype=np.float32)  # half a second
    sound = torch.from_numpy(np.concatenate([pause, speak("abc fa"), pause, speak("add"), pause, speak("dee"), pause]))
    transcript = tones.transcribe(sound, window, overlap=0.7)
    assert transcript.text == "abc fa add dee"
    starts = [0.5, 0.5 + len(speak("abc ")) / 16_000, 1.0 + len(speak("abc fa")) / 16_000]
    assert np.abs(np.array([word.start for word in transcript.words[:3]]) - starts).max() < 0.11


# --- text and times ---------------------------------------------------------------------------------------------------


def test_words_and_their_times(tones):
    transcript = tones.transcribe(torch.from_numpy(speak(TEXT)))
    assert transcript.text == TEXT
    assert [word.text for word in transcript.words] == TEXT.split()
    found = np.array([(word.start, word.end) for word in transcript.words])
    assert np.abs(found - np.array(true_times(TEXT))).max() < 0.06
    assert all(0.5 < word.confidence <= 1 for word in transcript.words)


def assert_same(one: Transcript, other: Transcript) -> None:
    """Word for word, time for time."""
    assert one.text == other.text
    torch.testing.assert_close(
        torch.tensor([word[:2] for word in one.words]), torch.tensor([word[:2] for word in other.words])
    )


@pytest.mark.parametrize(("window", "overlap"), [(2.0, 0.5), (1.7, 0.3), (3.3, 1.9), (0.5, 0.2), (19.0, 0.1)])
def test_windows_say_what_the_whole_says(tones, window, overlap):
    waveform = torch.from_numpy(speak(TEXT))
    whole, parts = tones.transcribe(waveform, window=60), tones.transcribe(waveform, window, overlap)
    assert whole.text == TEXT
    assert_same(parts, whole)


def test_a_long_file_says_what_its_parts_say(tones, tmp_path):
    texts = [random_text(words, seed) for seed, words in enumerate([10, 25, 1, 60, 31, 8])]
    sound = np.concatenate([speak(text + " ") for text in texts])
    soundfile.write(tmp_path / "long.flac", sound, 16_000)
    assert len(sound) > 4 * transcription.WINDOW * 16_000
    assert tones.transcribe(tmp_path / "long.flac").text == " ".join(texts)


@pytest.mark.parametrize("name", ["long.wav", "long.flac", "long.mp3", "gsm.wav", "piped.flac"])
def test_of_a_long_file_one_window_is_read_at_a_time_and_no_frame_twice(tones, tmp_path, monkeypatch, name):
    rate = 8_000 if name == "gsm.wav" else 16_000
    sound = np.tile(speak(TEXT + " ", rate), 4)
    soundfile.write(tmp_path / name, sound, rate, **({"subtype": "GSM610"} if name == "gsm.wav" else {}))
    if name == "piped.flac":
        without_length(tmp_path / name)
    read, original = [], ForwardFile.read_frames

    def counting(self, count):
        read.append(len(block := original(self, count)))
        return block

    monkeypatch.setattr(ForwardFile, "read_frames", counting)
    found = tones.transcribe(tmp_path / name).text
    assert error_rates([" ".join([TEXT] * 4)], [found])["cer"] < (0.1 if name == "gsm.wav" else 1e-9)
    counted = len(sound) if name == "piped.flac" else 0  # once to find its length
    assert len(read) > 4
    assert max(read) <= transcription.WINDOW * rate
    assert sum(read) == pytest.approx(len(sound) + counted, abs=400)


def without_length(path: Path) -> None:
    """What FLAC looks like that was written to a pipe: the header says that there are 0 samples."""
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["half.mp3", "half.flac", "half.wav", "half.ogg"])
def test_a_file_that_breaks_off_is_not_half_a_transcript(tones, tmp_path, name):
    soundfile.write(tmp_path / name, speak(TEXT), 16_000)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError, match=rf"{name} breaks off or is damaged at \d+\.\d\d s"):
        tones.transcribe(tmp_path / name)


def test_opposite_channels_are_not_a_transcript_without_words(tones, tmp_path):
    soundfile.write(tmp_path / "stereo.wav", np.stack([speak(TEXT), -speak(TEXT)], axis=1), 16_000)
    with pytest.raises(AudioError, match=r"stereo\.wav: its channels are of opposite phase"):
        tones.transcribe(tmp_path / "stereo.wav")


def test_beam_search_where_there_is_a_language_model(tones, monkeypatch):
    waveform, model = torch.from_numpy(speak("acca cab fed")), NGramModel.from_texts(["acca cab fed"])
    advised = replace(tones, language_model=model)
    assert advised.transcribe(waveform) == tones.transcribe(waveform), "nothing to advise"

    def overruled(_log_probs, vocabulary, language_model):
        assert (vocabulary, language_model) == (VOCABULARY, model)
        return [Hypothesis("abba cab feed", 0.0), Hypothesis("acca cab fed", -1.0)]

    monkeypatch.setattr(transcription, "beam_search", overruled)
    words = advised.transcribe(waveform).words
    assert [word.text for word in words] == ["abba", "cab", "feed"]
    assert words[0].confidence < 0.6 < words[1].confidence, "b was not heard"


def test_a_temperature_changes_confidence_and_nothing_else(tones):
    waveform = torch.from_numpy(speak(TEXT))
    doubtful = recognizer()
    doubtful.model.config = replace(doubtful.model.config, ctc_temperature=5.0)
    ours, theirs = doubtful.transcribe(waveform), tones.transcribe(waveform)
    assert_same(ours, theirs)
    assert all(our.confidence < their.confidence for our, their in zip(ours.words, theirs.words, strict=True))


def test_beam_search_of_a_long_sound(tones):
    advised = replace(tones, language_model=NGramModel.from_texts([TEXT]))
    waveform = torch.from_numpy(speak(TEXT))
    assert_same(advised.transcribe(waveform, window=3.0, overlap=1.0), tones.transcribe(waveform, window=60))


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rate", "options"),
    [
        ("a.wav", 16_000, {}),
        ("eight thousand.wav", 8_000, {}),
        ("größe – 声.flac", 44_100, {}),
        ("a.ogg", 48_000, {"subtype": "VORBIS"}),
        ("opus.ogg", 48_000, {"subtype": "OPUS"}),
        ("a.mp3", 16_000, {"format": "MP3"}),
        ("b.mp3", 44_100, {"format": "MP3"}),
        ("uneven.wav", 11_025, {}),
    ],
)
def test_formats_and_rates(tones, tmp_path, name, rate, options):
    soundfile.write(tmp_path / name, speak(TEXT, rate), rate, **options)
    assert tones.transcribe(tmp_path / name).text == TEXT
    assert tones.transcribe(tmp_path / name, window=3.0, overlap=0.7).text == TEXT


def test_stereo_and_file_objects(tones):
    file = io.BytesIO()
    soundfile.write(file, np.stack([speak("abc ee"), np.zeros_like(speak("abc ee"))], axis=1), 16_000, format="WAV")
    assert tones.transcribe(file).text == "abc ee"


def test_silence_has_no_words(tones):
    transcript = tones.transcribe(torch.zeros(50_000), window=1.0, overlap=0.5)
    assert (transcript.text, transcript.words) == ("", ())


def test_one_frame_is_enough(tones):
    tone = torch.from_numpy(speak("a"))[800:1200]  # the pause before it lasts 800 samples
    (word,) = tones.transcribe(tone).words
    assert word.text == "a"
    assert 0 <= word.start < word.end <= 0.025 + 1e-9


@pytest.mark.parametrize(
    "waveform",
    [torch.zeros(1, 16_000), torch.zeros(399), torch.full((500,), torch.nan), torch.zeros(())],
    ids=["batch", "short", "nan", "number"],
)
def test_waveforms_that_are_no_good(tones, waveform):
    with pytest.raises(AudioError, match=re.escape("wanted is (L,)")):
        tones.transcribe(waveform)


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_with_its_vocabulary(checkpoint):
    loaded = Recognizer.from_pretrained(checkpoint)
    assert not loaded.model.training
    assert loaded.vocabulary.tokens == VOCABULARY.tokens
    waveform = torch.from_numpy(speak(TEXT))
    assert loaded.transcribe(waveform) == loaded.transcribe(waveform)


def test_checkpoints_that_do_not_write(checkpoint, tmp_path, base_style):
    with pytest.raises(CheckpointError, match="nobody"):
        Recognizer.from_pretrained(tmp_path / "nobody")
    Wav2Vec2Model(base_style).save_pretrained(tmp_path / "base")
    with pytest.raises(CheckpointError, match="is a Wav2Vec2Model; only a Wav2Vec2ForCTC writes"):
        Recognizer.from_pretrained(tmp_path / "base")
    Vocabulary.from_texts(["a"]).save(checkpoint)
    with pytest.raises(CheckpointError, match="3 tokens, the model scores 8"):
        Recognizer.from_pretrained(checkpoint)
    (checkpoint / "vocab.json").write_text("[", encoding="utf-8")
    with pytest.raises(VocabularyError, match=re.escape("vocab.json")):
        Recognizer.from_pretrained(checkpoint)
    (checkpoint / "vocab.json").unlink()
    with pytest.raises(CheckpointError, match=re.escape("has no vocab.json")):
        Recognizer.from_pretrained(checkpoint)


# --- subtitles --------------------------------------------------------------------------------------------------------


def test_subtitles_by_hand():
    words = [
        Word(0.0, 0.5, "go", 0.9),
        Word(0.6, 1.2346, "home", 0.9),
        Word(59.9996, 60.5, "now", 0.9),  # after a pause
        Word(3_599.5, 36_000.25, "then", 0.9),
    ]
    assert subtitles(words) == (
        "1\n00:00:00,000 --> 00:00:01,235\ngo home\n\n"
        "2\n00:01:00,000 --> 00:01:00,500\nnow\n\n"
        "3\n00:59:59,500 --> 10:00:00,250\nthen\n"
    )
    assert subtitles([]) == ""


def test_a_cue_holds_a_few_words(tones):
    words = tones.transcribe(torch.from_numpy(speak(TEXT))).words
    blocks = subtitles(words).split("\n\n")
    lines = [block.strip().split("\n") for block in blocks]
    assert [line[0] for line in lines] == [str(i) for i in range(1, len(blocks) + 1)]
    assert " ".join(line[2] for line in lines) == TEXT
    assert all(len(line[2]) <= 42 for line in lines)
    assert len(blocks) > 3
    clock = r"\d\d:\d\d:\d\d,\d\d\d"
    assert all(re.fullmatch(f"{clock} --> {clock}", line[1]) and line[1][:12] < line[1][-12:] for line in lines)


# --- the bundled model ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_bundled_model_writes_sentences_and_what_they_make_together(tmp_path):
    """Of a long file it hears windows, and not a sentence each: a few more letters are wrong, no word has gone."""
    utterances = corpora.toy_speech().split("test")[::16]
    recognizer = Recognizer.from_pretrained("tiny-asr")
    alone = [recognizer.transcribe(utterance.path) for utterance in utterances]
    assert error_rates([u.text for u in utterances], [transcript.text for transcript in alone])["cer"] < 0.1
    soundfile.write(tmp_path / "long.flac", torch.cat([u.waveform() for u in utterances]).numpy(), 16_000)
    together = recognizer.transcribe(tmp_path / "long.flac")
    assert error_rates([" ".join(u.text for u in utterances)], [together.text])["cer"] < 0.15
    ends = np.array([word.end for word in together.words])
    starts = np.array([word.start for word in together.words])
    assert (starts < ends).all()
    assert (ends[:-1] <= starts[1:] + 1e-6).all()
    assert ends[-1] <= sum(u.duration for u in utterances)
