"""The reader's own voice: upload or record a short clip, and see its codes and its attention."""

import html
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import soundfile
import torch
import traitlets
from torch import Tensor

from w2v2_teach.analysis.codebooks import CodedCorpus
from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.course.widgets.attention import AttentionExplorer
from w2v2_teach.course.widgets.browser import script, style
from w2v2_teach.course.widgets.codebook import CodebookExplorer
from w2v2_teach.feature_encoder import frame_times
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech.audio import AudioError, count_samples, load_audio, normalize
from w2v2_teach.speech.corpora import Utterance

SECONDS = 8  # what is kept of a clip
QUIET = 1e-3  # a clip whose loudest sample is below this holds no voice


class Recorder(anywidget.AnyWidget):
    """A button that records; `recording` changes when a recording is over. Says so where there is no microphone."""

    _esm = script("recorder")
    _css = style("recorder")

    seconds = traitlets.Int(SECONDS).tag(sync=True)  # after which it stops by itself
    rate = traitlets.Int(SAMPLE_RATE).tag(sync=True)
    recording = traitlets.Bytes().tag(sync=True, from_json=lambda view, _: bytes(view))  # (L,) int16

    def waveform(self) -> Tensor:
        """(L,) what has been recorded, float32 between -1 and 1."""
        return torch.from_numpy(np.frombuffer(self.recording, "<i2").astype(np.float32) / 32_767)


class OwnVoice(widgets.VBox):
    """Upload and microphone; below them, once there is a clip, the codebook explorer and the attention explorer.

    P(phone | code) is counted over the speech `counted`; the codes of one's own voice can be looked for in the
    utterances `beside`. The model sees no mask.
    """

    def __init__(self, model: Wav2Vec2ForPreTraining, counted: CodedCorpus, beside: Sequence[Utterance] = ()) -> None:
        self.model, self.counted, self.beside = model, counted, beside
        self.upload = widgets.FileUpload(accept="audio/*", description="upload a sound file", layout={"width": "14em"})
        self.recorder = Recorder()
        self.message = widgets.HTML("<p role='status'>Say a sentence, up to 8 seconds of it.</p>")
        self.view = widgets.VBox()
        self.upload.observe(self._uploaded, names="value")
        self.recorder.observe(self._recorded, names="recording")
        row = widgets.HBox([self.upload, self.recorder], layout={"flex_flow": "row wrap", "align_items": "flex-start"})
        super().__init__([row, self.message, self.view])

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Without a kernel there is no voice to show: one sentence instead."""
        text = "Upload or record your own voice here: this needs a running kernel."
        return {**super()._repr_mimebundle_(**kwargs), "text/plain": text}

    def _uploaded(self, change: dict[str, Any]) -> None:
        if not change["new"]:
            return
        file = change["new"][0]
        source = io.BytesIO(file["content"])
        source.name = file["name"]
        try:
            cut = count_samples(source) > SECONDS * SAMPLE_RATE
            self.show(load_audio(source, duration=SECONDS), cut)
        except AudioError as error:
            self._say(f"{error}. WAV, FLAC, OGG and MP3 can be read.", wrong=True)

    def _recorded(self, _change: dict[str, Any]) -> None:
        waveform = self.recorder.waveform()
        self.show(waveform[: SECONDS * SAMPLE_RATE], len(waveform) > SECONDS * SAMPLE_RATE)

    def show(self, waveform: Tensor, cut: bool = False) -> None:
        """Both explorers for a waveform (L,), 16 kHz; `cut` says that it was longer."""
        self.view.children = ()
        frames = self.model.config.frame_lengths(len(waveform))
        if frames < 2 or waveform.abs().max() < QUIET:
            self._say("There is nothing to hear in this clip. Is the microphone on?", wrong=True)
            return
        self._say("Looking at it …")
        codes = own_codes(self.model, waveform, self.counted, self.beside)
        self.view.children = (codes, own_attention(self.model, waveform))
        length = f"the first {SECONDS} s of your clip" if cut else f"your clip, {len(waveform) / SAMPLE_RATE:.1f} s"
        self._say(f"Below: {length}, {frames} frames. Its phones are guessed from the codes.")

    def _say(self, text: str, wrong: bool = False) -> None:
        self.message.value = f"<p role='{'alert' if wrong else 'status'}'>{html.escape(text)}</p>"


def own_codes(
    model: Wav2Vec2ForPreTraining, waveform: Tensor, counted: CodedCorpus, beside: Sequence[Utterance]
) -> CodebookExplorer:
    """The codebook explorer for a waveform (L,) of which nothing else is known, and for utterances beside it."""
    with tempfile.TemporaryDirectory() as folder:  # utterances live in files; the explorer reads them once
        path = Path(folder) / "own.wav"
        soundfile.write(path, waveform.numpy(), SAMPLE_RATE, subtype="FLOAT")
        own = Utterance("your own voice", "you", "own", path, "", len(waveform))
        return CodebookExplorer(model, [own, *beside], counted)


@torch.no_grad()
def own_attention(model: Wav2Vec2ForPreTraining, waveform: Tensor) -> AttentionExplorer:
    """The attention explorer for a waveform (L,), nothing masked; leaves the model in evaluation mode."""
    model.eval()
    x = normalize(waveform)[None].to(next(model.parameters()).device)  # (1, L)
    attentions = model.wav2vec2(x, output_attentions=True).attentions  # (1, H, T, T) each
    times = frame_times(model.config, attentions[0].shape[2])  # (T,) s
    return AttentionExplorer(
        {f"layer {i}": weights[0] for i, weights in enumerate(attentions, start=1)},
        waveform, (), (), hop=float(times[1] - times[0]), first=float(times[0]),
    )  # fmt: skip
