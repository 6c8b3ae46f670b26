"""`python -m publisher` is the command `publisher`."""

from .cli.app import main

if __name__ == "__main__":
    main()
