"""librdkafka's mock cluster through its C interface: the broker of last resort, inside this process."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

from connector.errors import LocalError

_PRODUCER: Final = 0
_TEXT: Final = 512
_FOLDERS: Final = ("../confluent_kafka.libs", ".dylibs", "../confluent_kafka.dylibs")


class MockCluster:
    """One mock broker on a random loopback port.

    Raises:
        LocalError: this build of confluent-kafka does not let us at its library.
    """

    def __init__(self) -> None:
        self._library = _library()
        error = ctypes.create_string_buffer(_TEXT)
        configuration = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        # Clients ask for the address below; the instance itself only carries the cluster.
        self._client = ctypes.c_void_p(self._library.rd_kafka_new(_PRODUCER, configuration, error, _TEXT))
        if self._client.value is None:
            raise LocalError(f"librdkafka's mock cluster: {error.value.decode()}; use --broker kafka")
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_mock_cluster_new(self._client, 1))
        if self._cluster.value is None:
            raise LocalError("librdkafka's mock cluster cannot listen on loopback; use --broker kafka")

    @property
    def bootstrap(self) -> str:
        """The `bootstrap.servers` of clients."""
        return str(self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode())

    def create_topic(self, name: str, partitions: int) -> None:
        """Make a topic; those that come by themselves have four partitions."""
        failed = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if failed:
            raise LocalError(f"librdkafka's mock cluster: topic {name}: error {failed}; use --broker kafka")

    def close(self) -> None:
        """End it; its records are gone."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)


def _library() -> ctypes.CDLL:
    import confluent_kafka  # noqa: PLC0415 - loaded before its library is opened a second time

    package = Path(confluent_kafka.__file__).parent
    files = [file for folder in _FOLDERS for file in sorted((package / folder).glob("librdkafka*"))]
    try:
        library = ctypes.CDLL(str(files[0].resolve()))
        return _declared(library)
    except (IndexError, OSError, AttributeError) as error:
        text = f"librdkafka's mock cluster is not in this confluent-kafka ({error})"
        raise LocalError(f"{text}; use --broker kafka") from error


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures = {
        "rd_kafka_conf_new": (pointer, ()),
        "rd_kafka_new": (pointer, (number, pointer, text, ctypes.c_size_t)),
        "rd_kafka_destroy": (None, (pointer,)),
        "rd_kafka_mock_cluster_new": (pointer, (pointer, number)),
        "rd_kafka_mock_cluster_destroy": (None, (pointer,)),
        "rd_kafka_mock_cluster_bootstraps": (text, (pointer,)),
        "rd_kafka_mock_topic_create": (number, (pointer, text, number, number)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
