"""Servers on this machine, for the demo and the tests: brokers and schema registries on loopback ports."""
