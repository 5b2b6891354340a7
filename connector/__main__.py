"""``python -m connector``, and the command itself: the command line, which ctrl-C may end while it is still loading."""

import os


def main() -> None:
    """Load and run the command line."""
    try:
        from connector.cli.app import main as run
    except KeyboardInterrupt:
        os._exit(130)
    run()


if __name__ == "__main__":
    main()
