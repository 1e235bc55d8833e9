"""What a frame says without any learning: log-mel energies and MFCCs, the yardsticks of learned features."""

from collections.abc import Callable

import numpy as np

from w2v2_teach.analysis.layers import UtteranceLayers
from w2v2_teach.config import SAMPLE_RATE
from w2v2_teach.feature_encoder import ReceptiveField
from w2v2_teach.speech.corpora import Corpus

FIELD = ReceptiveField(samples=400, hop=320)  # 25 ms every 20 ms, as the paper's encoder
MELS = 40
CONTEXT = 5  # frames on each side


def log_mel(waveform: np.ndarray) -> np.ndarray:
    """(L,) at 16 kHz → (T, 40) natural logarithms of mel energies, frame t over the samples that z_t is made from."""
    import librosa

    energies = librosa.feature.melspectrogram(
        y=waveform, sr=SAMPLE_RATE, n_fft=FIELD.samples, hop_length=FIELD.hop, n_mels=MELS, center=False
    )  # (40, T)
    return np.log(energies + 1e-6).T


def mfcc(waveform: np.ndarray) -> np.ndarray:
    """(L,) at 16 kHz → (T, 39): 13 cepstral coefficients of `log_mel`, with their first and second differences."""
    import librosa

    c = librosa.feature.mfcc(S=log_mel(waveform).T, n_mfcc=13)  # (13, T)
    differences = [librosa.feature.delta(c, width=5, order=order, mode="nearest") for order in (1, 2)]
    return np.concatenate([c, *differences]).T


def log_mel_in_context(waveform: np.ndarray) -> np.ndarray:
    """(L,) → (T, 440): `log_mel` of each frame and of five frames on each side, the first and last repeated."""
    frames = log_mel(waveform)  # (T, 40)
    padded = np.pad(frames, ((CONTEXT, CONTEXT), (0, 0)), mode="edge")  # (T + 10, 40)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * CONTEXT + 1, axis=0).reshape(len(frames), -1)


YARDSTICKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "log-mel": log_mel,
    "log-mel ±5 frames": log_mel_in_context,
    "MFCC": mfcc,
}


def yardstick_outputs(corpus: Corpus) -> list[UtteranceLayers]:
    """The yardsticks of each utterance in the form of a model's layers, so that both are measured alike."""
    outputs = []
    for utterance in corpus:
        waveform = utterance.waveform().numpy()  # (L,)
        layers = {name: compute(waveform) for name, compute in YARDSTICKS.items()}  # (T, ·) each
        times = FIELD.times(len(layers["MFCC"])).numpy()  # (T,) s
        outputs.append(UtteranceLayers(utterance, times, layers))
    return outputs
