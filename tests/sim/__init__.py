"""A deterministic simulation: the product's own code against a simulated Kafka and a simulated source.

One integer decides everything that happens; time is virtual. ``python -m tests.sim --help``.
"""
