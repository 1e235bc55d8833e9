"""Files from their publishers: fetched once, resumed after an interruption, verified, and unpacked safely."""

import gzip
import logging
import os
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pooch
import requests
from tqdm.auto import tqdm

from w2v2_teach.errors import CourseError

CHUNK = 1 << 16  # bytes per read


class DownloadError(CourseError, RuntimeError):
    """A file could not be fetched, or is not what its publisher released; the message says which and why."""


class CorpusNotFound(CourseError, FileNotFoundError):
    """The corpus is not on this machine; the message says how to get it."""


def data_folders() -> list[Path]:
    """Where corpora are looked for: the folder that `$W2V2_TEACH_DATA` names, if any, then `cache_folder()`.

    Raises:
        CorpusNotFound: `$W2V2_TEACH_DATA` names no folder.
    """
    given = os.environ.get("W2V2_TEACH_DATA")
    if given and not Path(given).is_dir():
        raise CorpusNotFound(
            f"$W2V2_TEACH_DATA is {given}, and there is no such folder: set it to the folder that holds your corpora, "
            "or unset it"
        )
    return [*([Path(given)] if given else []), cache_folder()]


def cache_folder() -> Path:
    """Where downloads are kept: the user's cache folder on this system."""
    return Path(pooch.os_cache("w2v2_teach"))


def download(url: str, path: Path, known_hash: str | None = None) -> Path:
    """Fetch `url` into `path`, with a progress bar, unless it is there already with that hash.

    The bytes go into `path` + ".part" first, which becomes `path` only when it is complete and right. An interrupted
    download leaves the part, and the next call asks the server for the rest alone.

    Args:
        url: what to fetch.
        path: the file to write; its folder is made where it is missing.
        known_hash: hash of the whole file, where it is known: a SHA-256 in hexadecimal, or "md5:" and an MD5.

    Returns:
        `path`

    Raises:
        DownloadError: no network, an answer other than success, a file that broke off, a hash that differs, or a
            folder that cannot be written to (which is noticed before anything is fetched).
    """

    def resume(url: str, output: str, _: pooch.Pooch | None) -> None:
        part = path.with_name(path.name + ".part")
        _fetch(url, part)
        part.replace(output)  # pooch compares its hash, and moves it to `path` or deletes it

    pooch.get_logger().setLevel(logging.WARNING)  # its notes on hashes are for programmers
    try:
        pooch.retrieve(url, known_hash, path.name, path.parent, downloader=resume)
    except ValueError as error:  # pooch's word for a hash that differs
        raise DownloadError(f"{path.name} is corrupted: what {url} sent does not have the hash {known_hash}") from error
    except OSError as error:
        reason = error.__cause__ or error  # pooch wraps a missing permission in its own words
        raise DownloadError(
            f"{path} cannot be written ({reason}): make room or make its folder writable, or keep the corpus in "
            "another folder and let $W2V2_TEACH_DATA name that one"
        ) from error
    return path


def _fetch(url: str, part: Path) -> None:
    """Fetch into `part` what it does not hold yet: pooch's own downloaders always begin anew."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=60) as response:
            if have and _cannot_resume(response, have):
                part.unlink()
                return _fetch(url, part)
            response.raise_for_status()
            return _write(response, part, have if response.status_code == 206 else 0)
    except requests.HTTPError as error:
        answer = error.response
        raise DownloadError(f"{url} cannot be fetched: it answers {answer.status_code} {answer.reason}") from error
    except requests.RequestException as error:
        raise DownloadError(
            f"{url} cannot be reached ({type(error).__name__}): is there a network connection?"
        ) from error


def _cannot_resume(response: requests.Response, have: int) -> bool:
    """Is our part not the beginning of the file? So say 416, and a range that starts elsewhere than we asked."""
    sent = response.headers.get("Content-Range", "")
    return response.status_code == 416 or (response.status_code == 206 and not sent.startswith(f"bytes {have}-"))


def _write(response: requests.Response, part: Path, have: int) -> None:
    """Keep the first `have` bytes of `part` and append what the server sends; DownloadError when it stops early."""
    length = response.headers.get("Content-Length")
    total = None if length is None else have + int(length)
    broken: Exception | None = None
    bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem)
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
    except OSError as error:  # no room, or no permission
        raise DownloadError(f"{archive.name} cannot be unpacked into {folder}: {error}") from error


def download_and_unpack(
    url: str, root: str, folder: Path, known_hash: str | None = None, check: Callable[[Path], None] | None = None
) -> None:
    """Fetch a `.tar.gz` and unpack it beside `folder`, which then is complete or absent.

    Args:
        url: what to fetch.
        root: the folder inside the archive that becomes `folder`.
        folder: where it will be.
        known_hash: see `download`.
        check: looks at the unpacked folder, and raises where it is not what was published.

    Raises:
        DownloadError: as for `download` and `extract`, or `folder` cannot be written.
    """
    archive = download(url, folder.with_name(f"{Path(root).name}.tar.gz"), known_hash)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            extract(archive, Path(scratch))
            unpacked = Path(scratch) / root
            if check is not None:
                check(unpacked)
            unpacked.rename(folder)
    except OSError as error:
        raise DownloadError(f"{folder} cannot be written: {error}") from error
    finally:
        archive.unlink()  # unpacked, or of no use


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
    differing = [
        name for name, sha256 in checksums.items() if name not in missing and pooch.file_hash(folder / name) != sha256
    ]
    problems = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for what, names in (("missing", missing), ("with a wrong checksum", differing))
        if names
    ]
    if problems:
        raise DownloadError(f"{folder} is not what was published: of {len(checksums)} files, {' and '.join(problems)}")
