"""CTC explorer: choose what is said and what shall be written, step through the frames, see α, β, posteriors."""

from __future__ import annotations

import string

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from w2v2_teach.ctc import Lattice, best_path, ctc_lattice
from w2v2_teach.plots.ctc import BLANK, explorer
from w2v2_teach.widgets.explorer import Explorer

FRAMES, LETTERS = 14, 6  # T, and how many letters of a word are taken: six equal ones need 11 frames
SHARPNESS = (0.25, 0.5, 1.0, 2.0, 4.0)
TOKENS = (BLANK, *string.ascii_lowercase)


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


def ctc_explorer() -> Explorer:
    """Two words of up to six letters, a frame, and how sure the frames are of themselves."""

    def draw(said: str, target: str, frame: int, sharpness: float) -> tuple[Figure, str]:
        said, target = (_letters(word) for word in (said, target))
        log_probs, labels = spoken(said, sharpness), encode(target)
        lattice, path = ctc_lattice(log_probs, labels), best_path(log_probs, labels)
        figure = explorer(
            [TOKENS[token] for token in lattice.states.tolist()],
            filtered=lattice.alpha.softmax(dim=1).numpy(),
            ahead=lattice.beta.softmax(dim=1).numpy(),
            posteriors=lattice.posteriors.numpy(),
            path=path,
            frame=frame - 1,
        )
        return figure, _sentence(said, target, frame, lattice, path)

    return Explorer(
        draw,
        said=widgets.Text("hello", description="said", continuous_update=False),
        target=widgets.Text("hello", description="to be written", continuous_update=False),
        frame=widgets.IntSlider(6, 1, FRAMES, description="frame", continuous_update=False),
        sharpness=widgets.SelectionSlider(options=SHARPNESS, value=1.0, description="sharpness of the frames"),
    )


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter in string.ascii_lowercase)[:LETTERS]


def _sentence(said: str, target: str, frame: int, lattice: Lattice, path: list[int]) -> str:
    """What there is to see: P(target), the likeliest state of the frame, and the best path."""
    posterior = lattice.posteriors[frame - 1]  # (S,)
    state = int(posterior.argmax())
    written = "".join(TOKENS[token] for token in lattice.states[path].tolist())
    return (
        f"Said: “{said}”; to be written: “{target}”. P = {lattice.log_likelihood.exp():.3g}, a loss of "
        f"{-lattice.log_likelihood:.2f} nats. At frame {frame} of {FRAMES} the likeliest state is number {state + 1}, "
        f"“{TOKENS[lattice.states[state]]}”, with {posterior[state]:.2f}. Best path: {written}."
    )
