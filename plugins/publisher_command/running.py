"""The way to run a program on this system."""

import sys

if sys.platform == "win32":
    from .windows import run
else:
    from .posix import run

__all__ = ["run"]
