"""`python -m connector.local`: fetch what the servers need, before they are started."""

from __future__ import annotations

import sys

from connector.errors import LocalError
from connector.local import maven


def main() -> int:
    """Print where the programs are; otherwise the reason, with the exit code of a LocalError."""
    try:
        maven.java()
        sys.stdout.write(f"{maven.kafka_jars()}\n{maven.apicurio_app()}\n")
    except LocalError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
