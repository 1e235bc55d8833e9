"""Downloads from a server in this process: complete, broken off, resumed, corrupted, refused; archives that attack."""

import errno
import hashlib
import io
import os
import tarfile
from http.server import BaseHTTPRequestHandler

import pooch
import pytest
import requests
from local_server import serving

from w2v2_teach.speech.downloads import DownloadError, data_folders, download, extract, read_checksums, verify

CONTENT = bytes(range(256)) * 1_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    """Serves the server's `files`; keeps, of each request, the Range header it had and how many bytes were sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.close_connection = True
        content = self.server.files.get(self.path)
        asked = self.headers["Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.honors_range else 0
        if content is None or start >= len(content):
            self.server.requests.append((asked, 0))
            self.send_error(404 if content is None else 416)
            return
        start += self.server.range_error if start else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header(
            *(("Transfer-Encoding", "chunked") if self.server.chunked else ("Content-Length", len(content) - start))
        )
        self.end_headers()
        body = content[start:][: self.server.break_off_after]
        self.server.requests.append((asked, len(body)))
        self.wfile.write(b"%x\r\n%b\r\n" % (len(body), body) if self.server.chunked else body)
        if self.server.chunked and self.server.break_off_after is None:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(Handler) as server:
        server.files = {"/file.bin": CONTENT}
        server.honors_range = True
        server.range_error = 0  # bytes by which a range starts too late
        server.break_off_after = None  # bytes
        server.chunked = False  # send no Content-Length
        server.requests = []
        server.url += "file.bin"
        yield server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "file.bin"


def part_of(path):
    return path.with_name("file.bin.part")


def test_complete(server, path, capsys):
    assert download(server.url, path, SHA256) == path
    assert path.read_bytes() == CONTENT
    assert not part_of(path).exists()
    progress = capsys.readouterr().err
    assert "file.bin: 100%" in progress, "the progress bar"
    assert "hash" not in progress, "pooch's notes"
    download(server.url, path, SHA256)
    assert server.requests == [(None, len(CONTENT))], "a file that is there is not fetched again"


def test_a_file_that_is_there_but_wrong_is_replaced(server, path):
    path.parent.mkdir()
    path.write_bytes(b"wrong")
    download(server.url, path, SHA256)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("chunked", [False, True])
def test_broken_off_then_resumed(server, path, chunked):
    server.chunked = chunked
    server.break_off_after = 100_000
    with pytest.raises(DownloadError, match=r"broke off after .* bytes; call again to fetch the rest"):
        download(server.url, path, SHA256)
    assert not path.exists()
    kept = part_of(path).stat().st_size
    assert 0 < kept <= 100_000, "whole chunks of what was sent"
    assert part_of(path).read_bytes() == CONTENT[:kept]

    server.break_off_after = None
    download(server.url, path, SHA256)
    assert path.read_bytes() == CONTENT
    assert server.requests == [(None, 100_000), (f"bytes={kept}-", len(CONTENT) - kept)]


def test_a_connection_that_ends_quietly_is_noticed(server, path, monkeypatch):
    monkeypatch.setattr(requests.Response, "iter_content", lambda *_: iter([CONTENT[:100]]))  # as urllib3 1 lets it
    with pytest.raises(DownloadError, match="broke off after 100 bytes"):
        download(server.url, path)
    assert not path.exists()


def test_a_server_that_ignores_range_sends_everything_again(server, path):
    path.parent.mkdir()
    part_of(path).write_bytes(CONTENT[:100_000])
    server.honors_range = False
    download(server.url, path)
    assert path.read_bytes() == CONTENT, "not appended to the part"
    assert server.requests == [("bytes=100000-", len(CONTENT))]


@pytest.mark.parametrize("extra", [b"", b"more than the server has"])
def test_a_part_that_has_no_rest_is_dropped(server, path, extra):
    path.parent.mkdir()
    part_of(path).write_bytes(CONTENT + extra)  # the server answers 416
    download(server.url, path)
    assert path.read_bytes() == CONTENT
    assert [sent for _, sent in server.requests] == [0, len(CONTENT)]


def test_a_range_that_starts_elsewhere_is_not_appended(server, path):
    path.parent.mkdir()
    part_of(path).write_bytes(CONTENT[:100_000])
    server.range_error = 7
    download(server.url, path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("known_hash", [SHA256, MD5])
def test_corrupted(server, path, known_hash):
    server.files["/file.bin"] = b"X" + CONTENT[1:]
    with pytest.raises(DownloadError, match=rf"file\.bin is corrupted: .* does not have the hash {known_hash}"):
        download(server.url, path, known_hash)
    assert list(path.parent.iterdir()) == [], "neither the file nor its part"


def test_md5(server, path):
    assert download(server.url, path, MD5).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_to_is_named_before_anything_is_fetched(server, path, monkeypatch):
    path.parent.write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match=rf"{path} cannot be written \(.*cache"):
        download(server.url, path)

    def read_only(folder, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", folder)

    def forbidden(folder, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", folder)

    path.parent.unlink()
    monkeypatch.setattr(os, "makedirs", forbidden)
    with pytest.raises(
        DownloadError, match=r"cannot be written \(\[Errno 13\] Permission denied: '[^']*'\): make room"
    ):
        download(server.url, path)
    monkeypatch.setattr(os, "makedirs", read_only)
    with pytest.raises(DownloadError, match=r"cannot be written \(.*Read-only file system: .*make its folder writable"):
        download(server.url, path)
    assert server.requests == []


def test_not_found(server, path):
    with pytest.raises(DownloadError, match="nothing cannot be fetched: it answers 404 Not Found"):
        download(server.url.replace("file.bin", "nothing"), path)
    assert list(path.parent.iterdir()) == []


def test_no_network(server, path):
    server.server_close()  # now nobody listens at this address
    with pytest.raises(DownloadError, match="is there a network connection"):
        download(server.url, path)


def archive_of(path, *members: tarfile.TarInfo):
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, 3 if kind == tarfile.REGTYPE else 0
    return info


def test_extract(tmp_path):
    archive = archive_of(tmp_path / "good.tar.gz", member("top/a.txt"), member("top/sub/b.txt"), member("top/../c.txt"))
    extract(archive, tmp_path / "out")
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.txt")}
    assert files == {"top/a.txt", "top/sub/b.txt", "c.txt"}


@pytest.mark.parametrize(
    "bad",
    [
        member("../outside.txt"),
        member("sub/../../outside.txt"),
        member("/tmp/outside.txt"),
        member("link", tarfile.SYMTYPE, "../.."),
        member("link", tarfile.SYMTYPE, "/etc"),
        member("link", tarfile.LNKTYPE, "../outside.txt"),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda bad: f"{bad.name}→{bad.linkname}",
)
def test_an_archive_that_points_outside_is_refused_whole(tmp_path, monkeypatch, bad):
    monkeypatch.delattr(tarfile, "data_filter", raising=False)  # as in Python 3.10.0: our own check holds alone
    archive = archive_of(tmp_path / "bad.tar.gz", member("harmless.txt"), bad)
    with pytest.raises(DownloadError) as caught:
        extract(archive, tmp_path / "out")
    assert f"its member {bad.name}" in str(caught.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["bad.tar.gz"], "nothing is written, not even the harmless"


@pytest.mark.parametrize("keep", [0.5, 0])
def test_an_archive_that_is_cut_off(tmp_path, keep):
    archive = archive_of(tmp_path / "cut.tar.gz", *(member(f"{i}.txt") for i in range(500)))
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * keep)])
    with pytest.raises(DownloadError, match=r"cut\.tar\.gz is not a complete"):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_an_archive_cannot_be_unpacked_into(tmp_path):
    archive = archive_of(tmp_path / "good.tar.gz", member("top/a.txt"))
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match=r"good\.tar\.gz cannot be unpacked into .*out: "):
        extract(archive, tmp_path / "out")


def test_verify_names_what_is_missing_and_what_differs(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    listed = "".join(f"{pooch.file_hash(tmp_path / name)}  {name}\n" for name in ("a", "b", "c"))
    (tmp_path / "SHA256SUMS").write_text(listed)
    checksums = read_checksums(tmp_path / "SHA256SUMS")
    verify(tmp_path, checksums)

    (tmp_path / "b").write_text("B")
    (tmp_path / "c").unlink()
    with pytest.raises(DownloadError, match=r"of 3 files, 1 missing \(c\) and 1 with a wrong checksum \(b\)"):
        verify(tmp_path, checksums)


def test_the_folder_that_the_reader_names_comes_first(monkeypatch, tmp_path):
    monkeypatch.delenv("W2V2_TEACH_DATA", raising=False)
    cache = data_folders()
    assert len(cache) == 1
    monkeypatch.setenv("W2V2_TEACH_DATA", str(tmp_path))
    assert data_folders() == [tmp_path, *cache]
