"""The frames of an MP3 file (layer III of ISO 11172-3 and 13818-3), and the header that says how many there are.

Players learn the length from a first frame without sound, which holds "Xing" or "Info" and the number of frames. Where
it is missing they guess from the first frame's bit rate, and where files have been joined it counts the first only.
"""

from __future__ import annotations

from functools import lru_cache
from mmap import mmap
from typing import NamedTuple

KILOBITS = {  # per second, by the four bits of a header
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5
}
RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # Hz, by version
INFO_BITS = 9  # 128 or 80 kbit/s: a frame that is long enough for the header below


class FrameHeader(NamedTuple):
    """What the four bytes at the beginning of a frame say."""

    length: int  # bytes
    samples: int
    rate: int  # Hz
    info: int  # bytes from the beginning of the frame to the place of "Xing" or "Info"


@lru_cache(maxsize=1024)  # the headers of a file differ in bit rate and padding only
def frame_header(header: bytes) -> FrameHeader | None:
    """Read four bytes; None where they begin no frame of layer III."""
    bits = int.from_bytes(header, "big")
    version, layer, kilobits, rate, padding = (
        bits >> 19 & 3,
        bits >> 17 & 3,
        bits >> 12 & 15,
        bits >> 10 & 3,
        bits >> 9 & 1,
    )
    if len(header) < 4 or bits >> 21 != 0x7FF or version == 1 or layer != 1 or kilobits in (0, 15) or rate == 3:
        return None
    first, mono, checked = version == 3, bits >> 6 & 3 == 3, not bits >> 16 & 1
    samples, hertz = 1152 if first else 576, RATES[version][rate]
    side = (17 if mono else 32) if first else (9 if mono else 17)  # bytes
    length = samples // 8 * KILOBITS[first][kilobits] * 1000 // hertz + padding
    return FrameHeader(length, samples, hertz, 4 + 2 * checked + side)


def frame_starts(content: bytearray | mmap) -> list[int]:
    """Where each whole frame begins; tags before, between and after them are skipped."""
    starts: list[int] = []
    position, in_step = _after_tag(content, 0), False
    while 0 <= position <= len(content) - 4:
        header = frame_header(bytes(content[position : position + 4]))
        end = position + header.length if header else 0
        # what looks like a frame after something else is one if another follows, or the end
        if header and (in_step or end == len(content) or frame_header(bytes(content[end : end + 4]))):
            if end > len(content):
                break
            starts.append(position)
            position, in_step = _after_tag(content, end), True
        else:
            position, in_step = content.find(b"\xff", position + 1), False
    return starts


def _after_tag(content: bytearray | mmap, position: int) -> int:
    """Where an ID3v2 tag that begins here ends; `position` where none does."""
    tag = bytes(content[position : position + 10])
    if tag[:3] != b"ID3" or len(tag) < 10:
        return position
    size = sum((byte & 127) << 7 * place for place, byte in enumerate(reversed(tag[6:])))
    return position + 10 + size + 10 * (tag[5] >> 4 & 1)


def header_at(content: bytes | bytearray | mmap, start: int) -> FrameHeader:
    """The header of the frame that begins at `start`, one of `frame_starts`."""
    header = frame_header(bytes(content[start : start + 4]))
    assert header is not None
    return header


def promised_frames(content: bytearray | mmap, start: int) -> int | None:
    """The number that the first frame gives if it is a header: 0 if it holds none, None if the frame is sound."""
    place = start + header_at(content, start).info
    if content[place : place + 4] not in (b"Xing", b"Info"):
        return None
    counted = content[place + 7] & 1
    return int.from_bytes(content[place + 8 : place + 12], "big") if counted else 0


def info_frame(header: bytes, frames: int) -> bytes:
    """A frame without sound which says that `frames` follow; `header` is that of one of them."""
    bits = int.from_bytes(header, "big") & ~(15 << 12 | 1 << 9) | INFO_BITS << 12 | 1 << 16  # no padding, no checksum
    own = header_at(bits.to_bytes(4, "big"), 0)
    content = bytearray(own.length)
    content[:4] = bits.to_bytes(4, "big")
    content[own.info : own.info + 12] = b"Info" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big")
    return bytes(content)
