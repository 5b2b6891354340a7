"""The partitioner of Kafka's Java client."""

import pytest

from connector.domain.partition import murmur2, partition_for

# org.apache.kafka.common.utils.UtilsTest#testMurmur2
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), JAVA.items())
def test_java_vectors(key, signed):
    assert murmur2(key) == signed % 2**32


@pytest.mark.parametrize("partitions", [1, 2, 12, 64])
def test_partition_is_the_positive_hash(partitions):
    for key, signed in JAVA.items():
        assert partition_for(key, partitions) == (signed & 0x7FFFFFFF) % partitions
