"""Files from their publishers: fetched once, resumed after an interruption, verified, and unpacked safely."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pooch
import requests
from tqdm.auto import tqdm

CHUNK = 1 << 16  # bytes per read


class DownloadError(RuntimeError):
    """A file could not be fetched, or is not what its publisher released; the message says which and why."""


def data_folders() -> list[Path]:
    """Where corpora are looked for: the folder that `$W2V2_TEACH_DATA` names, if any, then `cache_folder()`."""
    given = os.environ.get("W2V2_TEACH_DATA")
    return [*([Path(given)] if given else []), cache_folder()]


def cache_folder() -> Path:
    """Where downloads are kept: the user's cache folder on this system."""
    return Path(pooch.os_cache("w2v2_teach"))


def download(url: str, path: Path, sha256: str | None = None, progress: bool = True) -> Path:
    """Fetch `url` into `path`, unless it is there already.

    The bytes go into `path` + ".part" first, which becomes `path` only when it is complete and right. An interrupted
    download leaves the part, and the next call asks the server for the rest alone.

    Args:
        url: what to fetch.
        path: the file to write; its folder is made where it is missing.
        sha256: the checksum of the whole file in hexadecimal, where it is known.
        progress: show a progress bar.

    Returns:
        `path`

    Raises:
        DownloadError: no network, an answer other than success, a file that broke off, or a checksum that differs.
    """
    if path.exists() and _matches(path, sha256):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=60) as response:
            if have and _cannot_resume(response, have):
                part.unlink()
                return download(url, path, sha256, progress)
            response.raise_for_status()
            _write(response, part, have if response.status_code == 206 else 0, progress)
    except requests.HTTPError as error:
        answer = error.response
        raise DownloadError(f"{url} cannot be fetched: it answers {answer.status_code} {answer.reason}") from error
    except requests.RequestException as error:
        raise DownloadError(
            f"{url} cannot be reached ({type(error).__name__}): is there a network connection?"
        ) from error
    if not _matches(part, sha256):
        part.unlink()
        raise DownloadError(f"{path.name} is corrupted: what {url} sent does not have the SHA-256 {sha256}")
    part.replace(path)
    return path


def _cannot_resume(response: requests.Response, have: int) -> bool:
    """Is our part not the beginning of the file? So say 416, and a range that starts elsewhere than we asked."""
    sent = response.headers.get("Content-Range", "")
    return response.status_code == 416 or (response.status_code == 206 and not sent.startswith(f"bytes {have}-"))


def _write(response: requests.Response, part: Path, have: int, progress: bool) -> None:
    """Keep the first `have` bytes of `part` and append what the server sends; DownloadError when it stops early."""
    length = response.headers.get("Content-Length")
    total = None if length is None else have + int(length)
    broken: Exception | None = None
    bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=not progress)
    with bar, part.open("ab" if have else "wb") as file:
        try:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
        except requests.RequestException as error:
            broken = error
        size = file.tell()
    if broken or total not in (None, size):
        raise DownloadError(f"{response.url} broke off after {size:,} bytes; call again to fetch the rest") from broken


def extract(archive: Path, folder: Path) -> None:
    """Unpack a `.tar.gz` into `folder`.

    Every member is looked at before the first is written. Only plain files and folders are accepted: a link that looks
    harmless can lead a later member outside.

    Raises:
        DownloadError: a member that would lie outside `folder`, or is a link or a device (nothing is unpacked then);
            an archive that is broken or incomplete.
    """
    root = folder.resolve()
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar.getmembers():
                if not (root / member.name).resolve().is_relative_to(root):
                    raise DownloadError(f"{archive.name} is refused: its member {member.name} lies outside the folder")
                if not (member.isfile() or member.isdir()):
                    raise DownloadError(f"{archive.name} is refused: its member {member.name} is a link or a device")
            tar.extraction_filter = getattr(tarfile, "data_filter", None)  # drops odd modes and owners; since 3.10.12
            tar.extractall(root)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DownloadError(f"{archive} is not a complete .tar.gz archive: {error}") from error


def read_checksums(path: Path) -> dict[str, str]:
    """The lines of a `SHA256SUMS` file, as `sha256sum` writes them: {file name: checksum in hexadecimal}."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: checksum for checksum, name in (line.split(maxsplit=1) for line in lines)}


def verify(folder: Path, checksums: Mapping[str, str]) -> None:
    """Compare every file named in `checksums`, relative to `folder`, with its SHA-256.

    Raises:
        DownloadError: names the files that are missing and the files that differ (the first three of each).
    """
    missing = [name for name in checksums if not (folder / name).is_file()]
    differing = [name for name in checksums if name not in missing and sha256_of(folder / name) != checksums[name]]
    problems = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for what, names in (("missing", missing), ("with a wrong checksum", differing))
        if names
    ]
    if problems:
        raise DownloadError(f"{folder} is not what was published: of {len(checksums)} files, {' and '.join(problems)}")


def _matches(path: Path, sha256: str | None) -> bool:
    return sha256 is None or sha256_of(path) == sha256


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
