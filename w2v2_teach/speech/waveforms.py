"""Long corpora are decoded once, into a file that the system maps into memory: cutting a piece out costs nothing."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm.auto import tqdm

from w2v2_teach.files import replacing
from w2v2_teach.speech.audio import normalize
from w2v2_teach.speech.corpora import Utterance
from w2v2_teach.speech.downloads import cache_folder


def map_waveforms(utterances: Sequence[Utterance]) -> list[np.ndarray]:
    """The normalized sound of each utterance, (L,) float16 each, read from disk only where it is looked at.

    The first call decodes everything (a minute or two for 5 h) into one file in the cache folder: 115 MB an hour, so
    0.6 GB for Mini LibriSpeech. Half precision rounds by at most 0.05 %, far below the noise of any recording. The
    system keeps as much of the file in memory as is free, once for all processes; the process itself holds nothing.
    A recording that has changed since makes a new file.
    """
    lengths = [utterance.num_samples for utterance in utterances]
    path = cache_folder() / "waveforms" / f"{_fingerprint(utterances)}.f16"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as file, ThreadPoolExecutor() as pool:
            waveforms = pool.map(_decoded, utterances)  # libsndfile lets other threads run while it decodes
            for waveform in tqdm(waveforms, "decoding", len(utterances), unit="utterance"):
                file.write(waveform)
    everything = np.memmap(path, np.float16, mode="r", shape=(sum(lengths),))  # (all L together,)
    return np.split(everything, np.cumsum(lengths)[:-1])


def _decoded(utterance: Utterance) -> bytes:
    return normalize(utterance.waveform()).numpy().astype(np.float16).tobytes()


def _fingerprint(utterances: Sequence[Utterance]) -> str:
    """Changes with every recording's place, length, and time of change."""
    lines = (f"{u.path} {u.offset} {u.num_samples} {u.path.stat().st_mtime_ns}" for u in utterances)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
