"""Which partition a key belongs to, computed by the auditor itself: a mistake of the writer must not hide here."""

from __future__ import annotations

import struct
from typing import Final

_FACTOR: Final = 0x5BD1E995
_32_BITS: Final = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's default partitioner (32-bit MurmurHash2, seed 0x9747b28c) gives a key."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(key: bytes) -> int:
    words, rest = divmod(len(key), 4)
    state = 0x9747B28C ^ len(key)
    for word in struct.unpack(f"<{words}I", key[: words * 4]):
        state = (state * _FACTOR & _32_BITS) ^ _mix(word)
    if rest:
        tail = key[words * 4 :] + bytes(4 - rest)
        state = (state ^ struct.unpack("<I", tail)[0]) * _FACTOR & _32_BITS
    state = (state ^ state >> 13) * _FACTOR & _32_BITS
    return state ^ state >> 15


def _mix(word: int) -> int:
    word = word * _FACTOR & _32_BITS
    return (word ^ word >> 24) * _FACTOR & _32_BITS
