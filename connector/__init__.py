"""Zendesk Chat real-time metrics into Kafka, exactly as received."""

__version__ = "0.1.0"
