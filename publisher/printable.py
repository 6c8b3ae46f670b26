"""Text of others, made harmless for people's terminals, logs and messages."""

from __future__ import annotations


def printable(text: str, *, keep: str = "") -> str:
    r"""Returns the text with every character that is not printable as an escape, like `\x1b`.

    An interface's name may hold any bytes, and a terminal would obey an escape sequence in it. The characters of `keep`
    stay as they are, for example line feeds.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)
