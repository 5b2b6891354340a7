"""The configuration: a frozen tree from a YAML file, the environment and files with secrets."""

from connector.config.load import load
from connector.config.otlp import Otlp
from connector.config.secrets import loose_mode, read_secret
from connector.config.sink import Basic, Kafka, Registry, Retention, TopicNames
from connector.config.source import Backoff, OAuth, Source
from connector.config.subscriptions import Subscription
from connector.config.tree import Batch, Buffer, Config, Heartbeat, Log

__all__ = [
    "Backoff",
    "Basic",
    "Batch",
    "Buffer",
    "Config",
    "Heartbeat",
    "Kafka",
    "Log",
    "OAuth",
    "Otlp",
    "Registry",
    "Retention",
    "Source",
    "Subscription",
    "TopicNames",
    "load",
    "loose_mode",
    "read_secret",
]
