"""Codebook explorer: what each codebook calls every frame, what that usually means, and where else it occurs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor

from w2v2_teach.analysis.codebooks import CLASS_OF, CodedCorpus, usage_by
from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.course.plots.explorers import KINDS, codes_over_speech
from w2v2_teach.course.widgets.browser import BrowserExplorer, intervals, packed, script, sound_bytes, style
from w2v2_teach.feature_encoder import frame_times
from w2v2_teach.model import Wav2Vec2ForPreTraining
from w2v2_teach.speech.audio import normalize
from w2v2_teach.speech.corpora import Utterance

WINDOW, COLUMN = 400, 160  # samples: what a column of the spectrogram sees, 25 ms; and how far apart two are, 10 ms
ROWS, RANGE_DB = 128, 70  # its frequencies, from 0 to 8 kHz; how far below the loudest it goes black
FEW = 20  # frames that are too few to say what a code means


class CodebookExplorer(BrowserExplorer):
    """Spectrogram, phones, words and codes of some utterances; everything happens in the browser, no kernel is asked.

    A second of speech costs about 40 kB: its sound, 16 bits a sample, and a spectrogram. Eight sentences make 1 MB.

    The model's codes are those of evaluation mode. The utterances, by several speakers, may lack phones and words;
    P(phone | code) is counted over the speech `counted`, much more than what is shown.
    """

    _esm = script("codebook")
    _css = style("codebook")

    clips = traitlets.List().tag(sync=True)  # one dictionary an utterance
    shape = traitlets.Dict().tag(sync=True)  # what all of them share
    phones = traitlets.List().tag(sync=True)  # names of the rows of `counts`
    kinds = traitlets.Dict().tag(sync=True)  # kind of phone → color
    kind_of = traitlets.List().tag(sync=True)  # (G, V) kind of phone that each code usually means
    counts = traitlets.Bytes().tag(sync=True)  # (G, phones, V) int32, packed
    codes = traitlets.Bytes().tag(sync=True)  # (T, G) uint16 of all utterances, packed
    spectrograms = traitlets.Bytes().tag(sync=True)  # (ROWS, columns) uint8 of each, packed
    sound = traitlets.Bytes().tag(sync=True)  # (L,) int16 of all utterances

    def __init__(self, model: Wav2Vec2ForPreTraining, utterances: Sequence[Utterance], counted: CodedCorpus) -> None:
        model.eval()
        device = next(model.parameters()).device
        waveforms = [utterance.waveform() for utterance in utterances]  # (L,) each
        codes = [model.codes(normalize(x)[None].to(device))[0].cpu().numpy() for x in waveforms]  # (T, G) each
        spectra = [spectrogram(x) for x in waveforms]  # (ROWS, columns) each
        spoken = counted.phones != ""
        counts, phones = usage_by(counted.phones[spoken], counted.codes[spoken], counted.entries)  # (phones, G, V)
        kind_of = usual_kinds(counts, phones)  # (G, V)
        times = frame_times(model.config, 2)  # s
        timing = {"hop": float(times[1] - times[0]), "first": float(times[0])}
        super().__init__(
            codes_over_speech(spectra[0], utterances[0], codes[0], kind_of, **timing),
            _sentence(utterances[0], codes[0]),
            clips=[_clip(*parts) for parts in zip(utterances, waveforms, codes, spectra, strict=True)],
            shape={
                "groups": codes[0].shape[1],
                "entries": counted.entries,
                "few": FEW,
                "rows": ROWS,
                "rate": SAMPLE_RATE,
                **timing,
            },
            phones=phones.tolist(),
            kinds=KINDS,
            kind_of=kind_of.tolist(),
            counts=packed(counts.transpose(1, 0, 2), "<i4"),
            codes=packed(np.concatenate(codes), "<u2"),
            spectrograms=packed(np.concatenate([image.ravel() for image in spectra]), "u1"),
            sound=b"".join(sound_bytes(x) for x in waveforms),
        )


def usual_kinds(counts: np.ndarray, phones: Sequence[str] | np.ndarray) -> np.ndarray:
    """(phones, G, V) counts → (G, V) the kind of the phone that each code meets most; "few frames" below `FEW`."""
    kinds = np.array([CLASS_OF.get(phone, "other") for phone in phones])  # (phones,)
    return np.where(counts.sum(axis=0) < FEW, "few frames", kinds[counts.argmax(axis=0)])


def spectrogram(waveform: Tensor) -> np.ndarray:
    """(L,) samples → (ROWS, columns) uint8: power from 0 to 8 kHz, 255 the loudest, 0 from `RANGE_DB` below it."""
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(waveform, 4 * ROWS, COLUMN, WINDOW, window, return_complex=True)  # (2 ROWS + 1, columns)
    power = spectrum.abs().square()[:-1].reshape(ROWS, 2, -1).mean(dim=1)  # (ROWS, columns)
    decibels = 10 * (power + 1e-10).log10()
    return (255 * (1 + (decibels - decibels.max()) / RANGE_DB).clamp(0, 1)).byte().numpy()


def _clip(utterance: Utterance, waveform: Tensor, codes: np.ndarray, image: np.ndarray) -> dict[str, Any]:
    return {
        "id": utterance.id,
        "speaker": utterance.speaker,
        "text": utterance.text,
        "phones": intervals(utterance.phones),
        "words": intervals(utterance.words),
        "samples": len(waveform),
        "frames": len(codes),
        "columns": image.shape[1],
    }


def _sentence(utterance: Utterance, codes: np.ndarray) -> str:
    used = " and ".join(str(len(np.unique(book))) for book in codes.T)
    return (
        f"“{utterance.text or utterance.id}” by {utterance.speaker}: spectrogram, phones, words, and the codes of its "
        f"{len(codes)} frames, {used} different ones in the {codes.shape[1]} codebooks."
    )
