"""Whether a file ends where its own headers say: what can be known of a cut download without decoding it.

Known: wav, aiff and au, whose header gives the length in bytes; flac, whose header gives the number of samples; ogg and
opus, whose last page is marked (RFC 3533; recorders of radio streams forget it); mp3 with a Xing or Info header, and
any mp3 whose last frame is not whole. Not known: an mp3 without such a header cut between two frames, a wav or au of
unstated length (written to a pipe), a flac without a count of samples, m4a and other containers. A flac that is cut
within a frame is not even decodable with libsndfile: it counts as unreadable.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

OGG_TAIL = 1 << 17
# Kilobits a second of MPEG 1 and of MPEG 2 and 2.5, layer III; samples a frame; ISO/IEC 11172-3 and 13818-3.
_KBPS = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def cut_off(path: Path, decoded: int | None = None) -> str | None:
    """What is missing at the end of a file.

    Args:
        decoded: Samples a channel that decoding gave; without it a flac is not evaluated.

    Returns:
        A reason; empty when the file is whole; None when its format does not tell.

    Raises:
        OSError: The file cannot be read.
    """
    if not path.stat().st_size:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = _after_id3(data)
        magic = data[start : start + 12]
        if magic[:4] in (b"RIFF", b"RF64", b"RIFX"):
            return _riff(data)
        if magic[:4] == b"FORM":
            return _missing_bytes(8 + struct.unpack_from(">I", data, 4)[0], data) if len(data) >= 8 else None
        if magic[:4] == b".snd":
            return _au(data)
        if magic[:4] == b"fLaC":
            return _flac(data, start, decoded)
        if magic[:4] == b"OggS":
            return _ogg(data)
        return _mp3(data, start)


def _missing_bytes(promised: int, data: mmap.mmap) -> str:
    missing = promised - len(data)
    return f"{missing:,} of the bytes that its header promises are missing" if missing > 0 else ""


def _riff(data: mmap.mmap) -> str | None:
    """Ends with the data chunk: some writers forget to correct the size of the whole."""
    order, at, large = ">" if data[:4] == b"RIFX" else "<", 12, None
    while at + 8 <= len(data):
        name, (size,) = data[at : at + 4], struct.unpack_from(f"{order}I", data, at + 4)
        if name == b"ds64" and at + 24 <= len(data):
            large = struct.unpack_from("<Q", data, at + 16)[0]
        if name == b"data":
            if size == 0xFFFFFFFF and large is not None:
                size = large
            return None if size in (0, 0xFFFFFFFF) else _missing_bytes(at + 8 + size, data)
        at += 8 + size + size % 2
    return "its header promises samples, and none are there"


def _au(data: mmap.mmap) -> str | None:
    if len(data) < 24:
        return "its header is cut"
    offset, size = struct.unpack_from(">II", data, 4)
    return None if size == 0xFFFFFFFF else _missing_bytes(offset + size, data)


def _flac(data: mmap.mmap, start: int, decoded: int | None) -> str | None:
    """STREAMINFO, the first block: 36 bits of samples a channel, 0 for unknown."""
    info = data[start + 8 : start + 42]
    if len(info) < 34:
        return "its header is cut"
    promised = int.from_bytes(info[13:18], "big") & 0xFFFFFFFFF
    if decoded is None or not promised:
        return None
    return f"its header promises {promised:,} samples, {decoded:,} are there" if decoded < promised else ""


def _ogg(data: mmap.mmap) -> str:
    """The last page must be whole and carry the flag of the end of its stream."""
    page = data.rfind(b"OggS", max(0, len(data) - OGG_TAIL))
    if page < 0 or page + 27 > len(data):
        return "its last page is cut"
    segments = data[page + 26]
    lengths = data[page + 27 : page + 27 + segments]
    if len(lengths) < segments or page + 27 + segments + sum(lengths) > len(data):
        return "its last page is cut"
    return "" if data[page + 5] & 0x04 else "it has no page that ends the stream"


def _after_id3(data: mmap.mmap) -> int:
    """Where the ID3v2 tag at the beginning ends."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + 10 * bool(data[5] & 0x10)


def _mp3(data: mmap.mmap, start: int) -> str | None:
    at = _first_frame(data, start)
    if at is None:
        return None
    promised = _xing_bytes(data, at)
    if promised:
        return _missing_bytes(at + promised, data)
    length = _frame(data, at)
    while length and at + length <= len(data):
        at += length
        length = _frame(data, at)
    # What follows the last frame is a tag, or nothing.
    return "its last frame is cut" if length else None


def _first_frame(data: mmap.mmap, start: int) -> int | None:
    """The first frame header that another one follows where it says, in the first 64 kB."""
    for at in range(start, min(len(data), start + 65536)):
        if (length := _frame(data, at)) and (_frame(data, at + length) or at + length >= len(data)):
            return at
    return None


def _frame(data: mmap.mmap, at: int) -> int:
    """Bytes of the layer III frame at `at`; 0 where there is none."""
    head = data[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return 0
    version, kbps, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or kbps in (0, 15) or rate == 3:
        return 0
    kilobits, samples = (_KBPS[1][kbps], 1152) if version == 3 else (_KBPS[2][kbps], 576)
    return samples // 8 * kilobits * 1000 // _RATES[version][rate] + (head[2] >> 1 & 1)


def _xing_bytes(data: mmap.mmap, at: int) -> int:
    """Bytes of all frames by a Xing or Info header in the first one; 0 where it says none."""
    mpeg1, mono = data[at + 1] >> 3 & 3 == 3, data[at + 3] >> 6 == 3
    tag = at + 4 + (17 if mono else 32) if mpeg1 else at + 4 + (9 if mono else 17)
    if data[tag : tag + 4] not in (b"Xing", b"Info") or len(data) < tag + 16:
        return 0
    flags = data[tag + 7]
    if not flags & 2:
        return 0
    return struct.unpack_from(">I", data, tag + 8 + 4 * (flags & 1))[0]
