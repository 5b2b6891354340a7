"""The connector without the rebuild rule: a suspect producer goes on. For the negative control only."""

from __future__ import annotations

from connector.adapters.kafka import TransactionalSink
from connector.cli.app import main

original = TransactionalSink.__init__


def careless(self, *arguments, **settings):
    original(self, *arguments, **settings | {"rebuild": False})


TransactionalSink.__init__ = careless
main()
