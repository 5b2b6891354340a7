"""``python -m connector``: the command line."""

from connector.cli.app import main

main()
