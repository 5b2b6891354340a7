"""Which settings of librdkafka may be passed through, and which are ours."""

import re
from typing import Any, Final

_OURS: Final = {
    "acks": "the promise needs acks=all",
    "request.required.acks": "the promise needs acks=all",
    "allow.auto.create.topics": "topics are made by provision only",
    "auto.offset.reset": "the connector reads from positions of its own",
    "bootstrap.servers": "set kafka.bootstrap_servers",
    "metadata.broker.list": "set kafka.bootstrap_servers",
    "enable.auto.commit": "progress is kept in the offsets topic",
    "enable.auto.offset.store": "progress is kept in the offsets topic",
    "enable.gapless.guarantee": "transactions give it",
    "enable.idempotence": "the promise needs it on",
    "enable.partition.eof": "recovery depends on it",
    "group.id": "it follows from topics.prefix and account",
    "group.instance.id": "members are dynamic, a static one delays every restart",
    "group.protocol": "the classic protocol is used",
    "isolation.level": "it is read_committed",
    "partition.assignment.strategy": "it is cooperative-sticky",
    "partitioner": "it is murmur2_random, as Java clients partition",
    "session.timeout.ms": "set kafka.session_timeout",
    "statistics.interval.ms": "the connector reads the statistics",
    "transaction.timeout.ms": "set kafka.transaction_timeout",
    "transactional.id": "it follows from topics.prefix, account and shard",
    "ssl.endpoint.identification.algorithm": "certificates are always checked",
    "enable.ssl.certificate.verification": "certificates are always checked",
}
_SECRET: Final = re.compile(r"password|passphrase|secret|ssl\.key\.pem|private\.key\.pem|oauthbearer\.config")
_NAME: Final = re.compile(r"[a-z][a-z0-9]*([._][a-z0-9]+)*")
_ALLOWED_VALUES: Final = {
    "ssl.endpoint.identification.algorithm": "https",
    "enable.ssl.certificate.verification": "true",
    "acks": "all",
    "enable.idempotence": "true",
}


def property_text(value: Any) -> str:
    """A setting as librdkafka takes it.

    Raises:
        ValueError: it is a list or a mapping.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError("must be text, a number, true or false")


def check_property(name: str, value: str) -> None:
    """Refuse what the connector sets itself and what is secret.

    Raises:
        ValueError
    """
    if _NAME.fullmatch(name) is None:
        raise ValueError("is no setting of librdkafka; write it as in its CONFIGURATION.md, for example linger.ms")
    if _SECRET.search(name):
        raise ValueError(f"is secret; write it to a file and name that in kafka.property_files.{name}")
    if name in _OURS and _ALLOWED_VALUES.get(name) != value:
        raise ValueError(f"is set by the connector: {_OURS[name]}; remove it")


def check_property_file(name: str) -> None:
    """Refuse what the connector sets itself.

    Raises:
        ValueError
    """
    if name in _OURS or _NAME.fullmatch(name) is None:
        raise ValueError("cannot be set by a file; property_files is for secrets such as sasl.password")
