"""The connector with one fault built in: it drops, or repeats, the hundredth update. For negative controls only."""

from __future__ import annotations

import os

from connector.cli.app import main
from connector.domain.records import Recorder

transaction = Recorder.transaction
seen = 0


def damaged(self, *arguments):
    global seen  # noqa: PLW0603 - one process, one fault
    for record in transaction(self, *arguments):
        seen += record.topic.endswith(".metrics")
        if seen == 100 and record.topic.endswith(".metrics"):
            if os.environ["DAMAGE"] == "repeat":
                yield record
                yield record
            continue
        yield record


Recorder.transaction = damaged
main()
