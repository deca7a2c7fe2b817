"""Reads the variables of a TensorFlow checkpoint ("tensor bundle") without TensorFlow: floats alone, nothing is run.

The index is a LevelDB table that is not compressed: keys in order, blocks with shared prefixes, a footer; each value is
a protocol buffer (tensorflow/core/protobuf/tensor_bundle.proto) that says where in the data file the tensor lies.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import numpy as np

from ...errors import InputError

FOOTER, MAGIC = 48, 0xDB4775248B80FB57
TRAILER = 5
FLOAT32 = 1
MOST_BYTES = 2**26
WIDTHS = {1: 8, 5: 4}


def read_bundle(index: bytes, data: bytes) -> dict[str, np.ndarray]:
    """Name -> float32 array of each variable.

    Args:
        index, data: Contents of `<name>.index` and of its only shard, `<name>.data-00000-of-00001`.

    Raises:
        InputError: It is no such table, or an entry points outside of the data.
    """
    try:
        return {name.decode(): _tensor(value, data) for name, value in _entries(index) if name}
    except (IndexError, KeyError, ValueError, struct.error, UnicodeDecodeError) as error:
        raise InputError(f"The checkpoint cannot be read: {error}.") from error


def _entries(index: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the table."""
    footer = index[-FOOTER:]
    if struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise ValueError("the index is no table of LevelDB")
    numbers, at = [], 0
    for _ in range(4):  # offset and size of the meta index, then those of the index
        number, at = _varint(footer, at)
        numbers.append(number)
    offset, size = numbers[2:]
    for _, handle in _block(index, offset, size):
        first, at = _varint(handle, 0)
        yield from _block(index, first, _varint(handle, at)[0])


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    block = table[offset : offset + size]
    if len(block) != size or table[offset + size] != 0:
        raise ValueError("a block is cut short or compressed")
    end = size - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length


def _tensor(value: bytes, data: bytes) -> np.ndarray:
    numbers, texts = _fields(value)
    if numbers.get(1) != FLOAT32:
        return np.empty(0, np.float32)
    shape = [_fields(size)[0].get(1, 0) for size in _fields(texts.get(2, [b""])[0])[1].get(2, [])]
    offset, size = numbers.get(4, 0), numbers.get(5, 0)
    if size > MOST_BYTES or offset + size > len(data) or size != 4 * math.prod(shape):
        raise ValueError(f"a tensor of shape {tuple(shape)} does not lie in the data")
    return np.frombuffer(data, "<f4", size // 4, offset).reshape(shape)


def _fields(message: bytes) -> tuple[dict[int, int], dict[int, list[bytes]]]:
    """The numbers and the texts of a protocol buffer, by field; what has a fixed width is passed over."""
    numbers: dict[int, int] = {}
    texts: dict[int, list[bytes]] = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind, field = tag & 7, tag >> 3
        if kind == 0:
            numbers[field], at = _varint(message, at)
        elif kind == 2:
            length, at = _varint(message, at)
            texts.setdefault(field, []).append(message[at : at + length])
            at += length
        else:
            at += WIDTHS[kind]
    return numbers, texts


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    number = shift = 0
    while True:
        byte = data[at]
        at, number, shift = at + 1, number | (byte & 127) << shift, shift + 7
        if byte < 128:
            return number, at
        if shift > 63:
            raise ValueError("a number is too long")
