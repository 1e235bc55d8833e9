"""CTC explorer: choose what is heard and what shall be written, step through the frames, see α, β, posteriors."""

import string
from collections.abc import Sequence
from typing import NamedTuple

import torch
import traitlets
from torch import Tensor

from w2v2_teach.config import SAMPLE_RATE, Wav2Vec2Config
from w2v2_teach.course.plots.ctc import BLANK, explorer
from w2v2_teach.course.widgets.browser import BrowserExplorer, script, sound_bytes, style
from w2v2_teach.ctc import Lattice, best_path, ctc_lattice, forced_alignment
from w2v2_teach.decoding.vocabulary import DELIMITER, Vocabulary
from w2v2_teach.feature_encoder import receptive_field
from w2v2_teach.speech.corpora import Utterance

FRAMES, LETTERS = 14, 6  # T, and how many letters may be said: six equal ones need 11 frames
SAID, FRAME = "hello", 5  # at the start
SHARPNESS = (0.25, 0.5, 1.0, 2.0, 4.0)
TOKENS = (BLANK, *string.ascii_lowercase)


class Clip(NamedTuple):
    """A piece of speech as a recognizer hears it."""

    name: str
    text: str
    log_probs: Tensor  # (T, V)
    tokens: Sequence[str]  # V, the blank first
    waveform: Tensor  # (L,) 16 kHz; its T equal parts are the frames


class CTCExplorer(BrowserExplorer):
    """The lattice of a text over frames: those of a word that the reader types, or those of clips.

    `clips` are what may be heard besides; about 1 kB for a frame.
    """

    _esm = script("ctc")
    _css = style("ctc")

    toy = traitlets.Dict().tag(sync=True)
    sharpnesses = traitlets.List(list(SHARPNESS)).tag(sync=True)
    clips = traitlets.List().tag(sync=True)  # name, text, tokens, frames, and length in samples of each
    log_probs = traitlets.Bytes().tag(sync=True)  # float32, clip after clip
    samples = traitlets.Bytes().tag(sync=True)  # int16, clip after clip
    sample_rate = traitlets.Int(SAMPLE_RATE).tag(sync=True)

    def __init__(self, clips: Sequence[Clip] = ()) -> None:
        log_probs, labels = spoken(SAID, sharpness=1.0), encode(SAID)
        lattice, path = ctc_lattice(log_probs, labels), best_path(log_probs, labels)
        figure = explorer(
            [TOKENS[token] for token in lattice.states.tolist()],
            filtered=lattice.alpha.softmax(dim=1).numpy(),
            ahead=lattice.beta.softmax(dim=1).numpy(),
            posteriors=lattice.posteriors.numpy(),
            path=path,
            frame=FRAME,
        )
        toy = {"tokens": list(TOKENS), "frames": FRAMES, "letters": LETTERS, "said": SAID, "frame": FRAME}
        super().__init__(
            figure,
            _sentence(lattice, path),
            toy=toy,
            clips=[_description(clip) for clip in clips],
            log_probs=b"".join(clip.log_probs.numpy().astype("<f4").tobytes() for clip in clips),
            samples=b"".join(sound_bytes(clip.waveform) for clip in clips),
        )


def _description(clip: Clip) -> dict[str, object]:
    size = {"frames": len(clip.log_probs), "length": len(clip.waveform)}
    return {"name": clip.name, "text": clip.text, "tokens": list(clip.tokens), **size}


def spoken(word: str, sharpness: float) -> Tensor:
    """(T, V) log probabilities of frames in which the letters of a word are heard, evenly spread over the time."""
    time = torch.arange(FRAMES, dtype=torch.float32)  # (T,)
    logits = torch.zeros(FRAMES, len(TOKENS))
    logits[:, 0] = 3
    for i, token in enumerate(encode(word)):
        middle = (i + 0.5) * FRAMES / len(word)
        logits[:, token] += 6 * (-((time + 0.5 - middle) ** 2) / 0.8).exp()
    return (sharpness * logits).log_softmax(dim=1)


def encode(word: str) -> list[int]:
    """Ids of letters a to z."""
    return [TOKENS.index(letter) for letter in word]


def word_clip(
    utterance: Utterance, number: int, log_probs: Tensor, vocabulary: Vocabulary, config: Wav2Vec2Config
) -> Clip:
    """One word of an utterance: the frames between the spaces before and after it, by forced alignment.

    The `utterance` has word times, `number` counts its words from 0, and `log_probs` (T, V) are those of the whole
    utterance. `config` is the recognizer's, for the place of its frames.
    """
    spans = forced_alignment(log_probs, vocabulary.encode(utterance.text))
    spaces = [span for span in spans if vocabulary.tokens[span.token] == DELIMITER]  # one fewer than words
    first = spaces[number - 1].last if number > 0 else 0
    last = spaces[number].first if number < len(spaces) else len(log_probs)
    field = receptive_field(config)[-1]
    margin = (field.samples - field.hop) // 2  # between the beginning of a frame's window and that of its own part
    waveform = utterance.waveform()[first * field.hop + margin :][: (last - first) * field.hop]
    word = utterance.words[number].label
    return Clip(f"“{word}” by {utterance.speaker}", word, log_probs[first:last], vocabulary.tokens, waveform)


def _sentence(lattice: Lattice, path: list[int]) -> str:
    """What there is to see: P(target), the likeliest state of the frame, and the best path."""
    posterior = lattice.posteriors[FRAME]  # (S,)
    state = int(posterior.argmax())
    written = "".join(TOKENS[token] for token in lattice.states[path].tolist())
    return (
        f"Said: “{SAID}”; to be written: “{SAID}”. P = {lattice.log_likelihood.exp():.3g}, a loss of "
        f"{-lattice.log_likelihood:.2f} nats. At frame {FRAME + 1} of {FRAMES} the likeliest state is number "
        f"{state + 1}, “{TOKENS[lattice.states[state]]}”, with {posterior[state]:.2f}. Best path: {written}."
    )
