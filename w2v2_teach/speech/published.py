"""Corpora that their publishers give away: fetched on request, verified each time, kept in the cache."""

import os
from importlib import resources
from pathlib import Path

import pooch

from w2v2_teach.files import DATA
from w2v2_teach.speech import downloads
from w2v2_teach.speech.audio import count_samples
from w2v2_teach.speech.corpora import DIGITS, Corpus, Utterance
from w2v2_teach.speech.downloads import CorpusNotFound

FSDD_URL = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz"
FSDD_CHECKSUMS = DATA / "fsdd" / "SHA256SUMS"
FSDD_ARCHIVE_ROOT = "free-spoken-digit-dataset-1.0.10"  # the folder inside the archive

LIBROSA_URL = "https://librosa.org/data/audio/"
LIBROSA_EXCERPTS = ("5703-47212-0000", "3436-172162-0000", "198-209-0000")  # librosa calls them libri1, libri2, libri3


def fsdd(download: bool = False) -> Corpus:
    """The Free Spoken Digit Dataset, release v1.0.10: 3,000 digits by six speakers, 8 kHz, CC BY-SA 4.0.

    Its README makes recordings 0 to 4 of each digit and speaker the test set, and 5 to 49 the training set; the
    speakers are the same in both. Every file is compared with `data/fsdd/SHA256SUMS` each time.

    Args:
        download: fetch the release from GitHub into the cache, where it is not on this machine.

    Raises:
        CorpusNotFound: it is not on this machine, and `download` is False.
        DownloadError: it cannot be fetched, or is not what was published.
    """
    checksums, name = downloads.read_checksums(FSDD_CHECKSUMS), "free-spoken-digit-dataset"
    folders = [folder / name / "recordings" for folder in downloads.data_folders()]
    recordings = next((folder for folder in folders if folder.is_dir()), None)
    if recordings is None:
        if not download:
            raise CorpusNotFound(
                "the Free Spoken Digit Dataset is not on this machine: fetch it with `w2v2-teach download fsdd` or "
                f"fsdd(download=True), or point $W2V2_TEACH_DATA at a folder that holds {name}/recordings"
            )
        folder = downloads.cache_folder() / name
        downloads.download_and_unpack(
            FSDD_URL,
            FSDD_ARCHIVE_ROOT,
            folder,
            check=lambda unpacked: downloads.verify(unpacked / "recordings", checksums),
        )
        recordings = folder / "recordings"
    downloads.verify(recordings, checksums)

    utterances = []
    for path in sorted(recordings / file for file in checksums):
        digit, speaker, index = path.stem.split("_")
        split = "test" if int(index) < 5 else "train"
        utterances.append(Utterance(path.stem, speaker, split, path, DIGITS[int(digit)], count_samples(path)))
    return Corpus("fsdd", utterances)


def librosa_excerpts(download: bool = False) -> Corpus:
    """Three LibriSpeech utterances, 22.05 kHz, CC BY 4.0: the speech among librosa's examples (libri1 to libri3).

    librosa publishes no transcripts of them, so `text` is empty. They are kept where librosa keeps its examples
    (`$LIBROSA_DATA_DIR` or its cache), and compared with librosa's own list of checksums each time.

    Args:
        download: fetch them from librosa.org, where they are not on this machine.

    Raises:
        CorpusNotFound: they are not on this machine, and `download` is False.
        DownloadError: they cannot be fetched, or are not what was published.
    """
    registry = resources.files("librosa.util.example_data").joinpath("registry.txt").read_text(encoding="utf-8")
    published = dict(line.rsplit(maxsplit=1) for line in registry.splitlines())
    checksums = {f"{name}.ogg": published[f"{name}.ogg"] for name in LIBROSA_EXCERPTS}

    own = Path(os.environ.get("LIBROSA_DATA_DIR", pooch.os_cache("librosa")))
    folders = [*(folder / "librosa" for folder in downloads.data_folders()), own]
    folder = next((folder for folder in folders if all((folder / file).is_file() for file in checksums)), None)
    if folder is None:
        if not download:
            raise CorpusNotFound(
                "librosa's speech examples are not on this machine: fetch them with `w2v2-teach download librosa` or "
                "librosa_excerpts(download=True), or point $W2V2_TEACH_DATA at a folder that holds librosa/*.ogg"
            )
        folder = own
        for file, checksum in checksums.items():
            downloads.download(LIBROSA_URL + file, folder / file, checksum)
    downloads.verify(folder, checksums)

    paths = [folder / file for file in checksums]
    return Corpus(
        "librosa_excerpts",
        (Utterance(path.stem, path.stem.split("-")[0], "excerpts", path, "", count_samples(path)) for path in paths),
    )
