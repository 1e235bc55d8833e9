"""The true length of sound files whose header lies, as streaming, cutting and joining leave them.

libsndfile believes a header. Here the file itself is asked: a header that could not know the length is corrected in
memory, and a file that holds less than its header promises is refused.
"""

import io
import mmap
import re
from collections.abc import Iterator
from os import PathLike
from typing import BinaryIO

import numpy as np
import soundfile

from w2v2_teach.errors import CourseError

Content = mmap.mmap | bytearray  # the bytes of a file; changing them does not change the file

SLACK = 0.2  # s that a file may lack of what its header promises: that is sloppy bookkeeping and not a loss
NO_LENGTH = 2**63 - 1  # what libsndfile says of a FLAC file that was written to a pipe
NO_SIZE = 0x7F000000  # bytes; writers that cannot know put numbers from here up into a header
BLOCK = 2**16  # frames that are read at once where all are read
COUNTING = re.compile(rb"(?:Xing|Info)\0\0\0[\x01\x03\x05\x07\x09\x0b\x0d\x0f]")  # an MP3 frame that counts the others
LONGEST_FRAME = 1441  # bytes, of MP3


class HeaderError(CourseError, ValueError):
    """Header and content of a sound file contradict each other; the message goes on after the file's name."""


class ForwardFile(soundfile.SoundFile):
    """A sound file that is read from front to back.

    soundfile seeks after every read unless a file says that this is not possible. There GSM refuses, MP3 decodes
    the same frames again, and FLAC without a length fails at its end.
    """

    position = 0  # frames that have been read

    def seekable(self) -> bool:
        """No."""
        return False

    def skip_to(self, frame: int) -> None:
        """Go on reading there, which is not before `position`."""
        if super().seekable():
            self.seek(frame)
            self.position = frame
        while self.position < frame and len(self.read_frames(min(BLOCK, frame - self.position))):
            pass

    def read_frames(self, count: int) -> np.ndarray:
        """(count, channels) float32; fewer at the end of the file.

        Raises:
            HeaderError: the file is damaged, or breaks off.
        """
        block = np.full((count, self.channels), np.nan, dtype=np.float32)
        try:
            block = self.read(out=block)
        except soundfile.LibsndfileError as error:
            good = int(np.isnan(block[:, 0]).argmax())
            raise breaks_off(self.position + good, self.samplerate) from error
        self.position += len(block)
        return block


def breaks_off(frames: int, rate: int) -> HeaderError:
    """What to say of a file that ends too early, after so many frames."""
    return HeaderError(
        f"breaks off or is damaged at {frames / rate:.2f} s: get a whole copy of it, or keep what can be read, "
        "for example with `ffmpeg -i FILE NEW.wav`"
    )


def open_truthfully(source: str | PathLike | BinaryIO) -> ForwardFile:
    """Open a sound file; its `frames` are those that it holds, whatever its header says.

    For WAV and FLAC this costs no more than reading the header, for MP3 and Ogg that of every frame or page
    (milliseconds a minute). FLAC without a length is decoded once to count. MP3 is read into memory, still compressed.

    Raises:
        HeaderError: it holds less than it promises, or more than libsndfile would read.
        soundfile.LibsndfileError: it is not audio that libsndfile reads.
    """
    file = ForwardFile(source)
    corrected: Content | io.BytesIO | None = None
    if file.subtype == "MPEG_LAYER_III":
        corrected = _mp3_with_length(_content(source), file)
    elif file.format == "FLAC" and file.frames == NO_LENGTH:
        corrected = _flac_with_length(_content(source), file)
    elif file.format in ("WAV", "WAVEX") and file.frames == 0:
        corrected = _wav_with_sizes(_content(source))
    elif file.format == "OGG":
        _require_one_whole_stream(_content(source), file)
    else:
        _require_promised_bytes(file)
    if corrected is None:
        return file
    file.close()
    return ForwardFile(io.BytesIO(corrected) if isinstance(corrected, bytearray) else corrected)


def _content(source: str | PathLike | BinaryIO) -> Content:
    if isinstance(source, (str, PathLike)):
        with open(source, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    position = source.tell()  # where libsndfile will read on
    source.seek(0)
    content = bytearray(source.read())
    source.seek(position)
    return content


def _mp3_with_length(content: Content, file: ForwardFile) -> io.BytesIO:
    """The same MP3 frames after one that counts them all; without it, libsndfile guesses from the first bit rate."""
    import av  # only here: few corpora hold MP3

    counted = io.BytesIO()
    with av.open(io.BytesIO(content), format="mp3") as old, av.open(counted, "w", format="mp3") as new:
        sound = old.streams.audio[0]
        copied = new.add_stream_from_template(sound)
        whole = av.CodecContext.create("mp3", "r").parse  # finds no frame in what is left where a file breaks off
        packets = [packet for packet in old.demux(sound) if packet.size and whole(bytes(packet))]
        first = packets[0].pos if packets else len(content)  # byte
        held = float(sum(packet.duration for packet in packets) * sound.time_base)  # s
        for packet in packets:
            packet.stream = copied
            new.mux(packet)
    before = bytes(content[max(0, first - LONGEST_FRAME) : first])
    if COUNTING.search(before) and file.frames / file.samplerate - held > SLACK:
        raise breaks_off(round(held * file.samplerate), file.samplerate)
    counted.seek(0)
    return counted


def _flac_with_length(content: Content, file: ForwardFile) -> Content:
    """The 36 bits of the STREAMINFO block that count the samples, filled in."""
    while len(file.read_frames(BLOCK)):
        pass
    place = content.find(b"fLaC") + 4 + 4 + 13  # marker, head of the block, and the bits before
    content[place] = content[place] & 0xF0 | file.position >> 32
    content[place + 1 : place + 5] = (file.position & 0xFFFFFFFF).to_bytes(4, "big")
    return content


def _wav_with_sizes(content: Content) -> Content | None:
    """A streamed WAV file, which has 0 where its size belongs, with that; None for one that is really empty."""
    for start, kind in _riff_chunks(content, 12):
        if kind == b"data":
            rest = list(_riff_chunks(content, start))
            if rest[-1][0] == len(content):  # nothing but other chunks follows
                return None
            for place in (start, 8):
                content[place - 4 : place] = min(len(content) - place, 0xFFFFFFFF).to_bytes(4, "little")
            return content
    return None


def _riff_chunks(content: Content, position: int) -> Iterator[tuple[int, bytes]]:
    """Where the content of each chunk begins, and what it is; last, with no kind, where the last chunk ends."""
    while position + 8 <= len(content):
        yield position + 8, bytes(content[position : position + 4])
        size = int.from_bytes(content[position + 4 : position + 8], "little")
        position += 8 + size + size % 2
    yield position, b""


def _require_one_whole_stream(content: Content, file: ForwardFile) -> None:
    """Go from page to page of an Ogg file (RFC 3533, section 6)."""
    position, flags, begun = 0, 0, False
    while position < len(content):
        page = bytes(content[position : position + 282])  # the longest head
        if page[:4] != b"OggS" and flags & 4:
            return  # a tag or so after the end of the stream
        size = 27 + page[26] + sum(page[27 : 27 + page[26]]) if len(page) > 26 else len(content)
        if page[:4] != b"OggS" or position + size > len(content):
            raise breaks_off(file.frames, file.samplerate)
        flags = page[5]
        if flags & 2 and begun:
            raise HeaderError(
                "holds several Ogg streams in a row, of which only the first would be read: "
                "join them into one, for example with `ffmpeg -i FILE NEW.wav`"
            )
        begun, position = not flags & 2, position + size


def _require_promised_bytes(file: ForwardFile) -> None:
    """Find in libsndfile's log what the header of WAV, AIFF, AU, W64 or RF64 promises, and how much there is."""
    found = re.search(r"^\s*(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    found = found or re.search(r"frame count (\d+) does not match value from 'ds64' chunk of (\d+)", file.extra_info)
    if found is None:
        return
    held, promised = sorted((int(found[1]), int(found[2])))
    lacking = file.frames / file.samplerate * (promised / max(held, 1) - 1)  # s
    if promised < NO_SIZE and lacking > SLACK:
        raise breaks_off(file.frames, file.samplerate)
