"""Is everything here that the course needs? One table: what was found, what is missing, and how to get it."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import NamedTuple

import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from w2v2_teach.speech import corpora, downloads, published
from w2v2_teach.speech.mini_librispeech import mini_librispeech

GB = 1e9  # bytes
MEMORY = 3 * GB  # the kernel of notebook 00 takes 0.8 GB; the browser and the system want the rest
DISK = 2 * GB  # FSDD, librosa's excerpts, and one published BASE checkpoint (0.4 GB) with its copy in the cache
NAMED = ("torch", "transformers")  # the libraries with a row of their own


class Item(NamedTuple):
    """One thing, and whether it is here."""

    thing: str
    need: str  # "needed" or "optional"
    found: str  # what is here; empty where it is missing
    advice: str  # one sentence: how to get it, or what goes without it

    @property
    def mark(self) -> str:
        """The state as a sign and a word."""
        if self.found:
            return "✓ present"
        return {"needed": "✗ missing", "optional": "○ missing"}[self.need]


@dataclass(frozen=True)
class Report:
    """The items, in order; Jupyter shows them as a table."""

    items: tuple[Item, ...]

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __getitem__(self, thing: str) -> Item:
        return next(item for item in self.items if item.thing == thing)

    @property
    def missing(self) -> list[Item]:
        """What the course cannot do without and is not here."""
        return [item for item in self if item.need == "needed" and not item.found]

    def __repr__(self) -> str:
        return "\n".join(f"{i.thing:<22} {i.mark:<13} {'; '.join(filter(None, (i.found, i.advice)))}" for i in self)

    def _repr_markdown_(self) -> str:
        marks = (item.mark.replace(" ", "&nbsp;") for item in self)
        rows = (f"| {i.thing} | {i.need} | {m} | {i.found} | {i.advice} |" for i, m in zip(self, marks, strict=True))
        return "\n".join(["| what | | | found | remark |", "| --- | --- | --- | --- | --- |", *rows])


def device() -> torch.device:
    """The GPU where there is one, else the CPU; in full single precision, so that 1e-5 means the same on both."""
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def versions() -> str:
    """One line for the top of a notebook: what it runs on."""
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in ("w2v2_teach", "torch", "transformers"))
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return f"Python {platform.python_version()}, {packages}, on {where}"


def check_environment() -> Report:
    """Look at this machine: Python, libraries, speech, memory, disk, and what is pleasant to have. Changes nothing."""
    required = [Requirement(line) for line in metadata.requires("w2v2_teach") or ()]
    required = [r for r in required if r.marker is None or r.marker.evaluate({"extra": ""})]
    others = [_library(r) for r in required if r.name not in NAMED]
    return Report(
        (
            _python(SpecifierSet(metadata.metadata("w2v2_teach")["Requires-Python"])),
            *(_library(r) for r in required if r.name in NAMED),
            _together("other libraries", others),
            _corpus("toy_speech", "needed", corpora.toy_speech),
            _memory(),
            _disk(),
            _gpu(),
            _corpus("Mini LibriSpeech", "optional", mini_librispeech),
            _corpus("FSDD", "optional", published.fsdd),
            _corpus("librosa's excerpts", "optional", published.librosa_excerpts),
        )
    )


def _item(thing: str, need: str, is_right: bool, found: str, advice: str) -> Item:
    return Item(thing, need, found, "") if is_right else Item(thing, need, "", advice)


def _python(allowed: SpecifierSet) -> Item:
    version = platform.python_version()
    advice = f"this is {version}; the course needs {allowed}: make its environment with that."
    return _item("Python", "needed", allowed.contains(version, prereleases=True), version, advice)


def _library(requirement: Requirement) -> Item:
    name, allowed = requirement.name, requirement.specifier
    how = f"get it with `pip install '{requirement}'`."
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Item(name, "needed", "", f"not installed: {how}")
    advice = f"{version} is installed, the course needs {allowed}: {how}"
    return _item(name, "needed", allowed.contains(version, prereleases=True), version, advice)


def _together(thing: str, items: list[Item]) -> Item:
    """Many libraries as one row, which names those that are not right."""
    advice = " ".join(f"{item.thing}: {item.advice}" for item in items if not item.found)
    return _item(thing, "needed", not advice, f"all {len(items)}", advice)


def _corpus(thing: str, need: str, load: Callable[[], corpora.Corpus]) -> Item:
    try:
        found = load()
    except (downloads.CorpusNotFound, downloads.DownloadError) as error:
        return Item(thing, need, "", f"{error}.")
    return Item(thing, need, f"{len(found)} utterances, {len(found.speakers)} speakers", "")


def _memory() -> Item:
    if not hasattr(os, "sysconf"):  # Windows
        return Item("memory", "needed", "not measured on this system", f"{MEMORY / GB:.0f} GB is enough.")
    return _amount("memory", "needed", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), MEMORY)


def _disk() -> Item:
    folder = downloads.cache_folder()
    while not folder.exists():
        folder = folder.parent
    return _amount("free disk space", "optional", shutil.disk_usage(folder).free, DISK)


def _amount(thing: str, need: str, there: float, wanted: float) -> Item:
    advice = f"{there / GB:.1f} GB is here, the course wants {wanted / GB:.0f} GB: make room for it."
    return _item(thing, need, there >= wanted, f"{there / GB:.0f} GB", advice)


def _gpu() -> Item:
    found = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    advice = "every notebook runs without one; with one, the training runs are shorter."
    return _item("GPU", "optional", bool(found), found, advice)
