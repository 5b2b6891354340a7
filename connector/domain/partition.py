"""Which partition a key belongs to: Kafka's own murmur2, as the Java client computes it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_R: Final = 24
_BITS: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The unsigned 32-bit hash of ``org.apache.kafka.common.utils.Utils.murmur2``."""
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _BITS
        k = (k ^ (k >> _R)) * _M & _BITS
        h = (h * _M & _BITS) ^ k
    if length > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _BITS
    h = (h ^ (h >> 13)) * _M & _BITS
    return h ^ (h >> 15)


@lru_cache(maxsize=16384)
def partition_for(key: bytes, partitions: int) -> int:
    """The partition of a key, as Java clients and librdkafka's ``murmur2_random`` choose it.

    Remembered: keys are few, and every start asks for all of them several times.
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions
