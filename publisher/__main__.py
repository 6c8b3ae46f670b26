"""Runs the command `publisher` for `python -m publisher`."""

from .cli.app import main

if __name__ == "__main__":
    main()
