"""Keys from the bytes that a terminal sends: names like up, pageup, enter, esc, or the character itself. Pure."""

from __future__ import annotations

import codecs
import re

# ECMA-48 7.4 and xterm's ctlseqs: CSI parameters final, or SS3 final.
_CSI = re.compile(r"\x1b\[([0-?]*)[ -/]*([@-~])")
_UNFINISHED = re.compile(r"\x1b(\[[0-?]*[ -/]*|O)?")
_FINALS = {"A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end"}
_NUMBERS = {"1": "home", "4": "end", "5": "pageup", "6": "pagedown", "7": "home", "8": "end"}
_CONTROLS = {
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\b": "backspace",
    "\x15": "ctrl-u",
    "\x17": "ctrl-w",
    "\x0c": "ctrl-l",
}
# A sequence that is longer is none.
_LONGEST = 64


class KeyDecoder:
    """Decodes bytes into keys. A sequence may come in parts; an Esc alone is a key when nothing follows it."""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("ignore")
        self._rest = ""

    @property
    def is_waiting(self) -> bool:
        """True if the last bytes may be the beginning of a sequence: `flush` then takes them as they are."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[str]:
        """Returns the keys that are complete."""
        text, self._rest = self._rest + self._utf8.decode(data), ""
        keys: list[str] = []
        while text:
            if text[0] == "\x1b":
                if len(text) <= _LONGEST and _UNFINISHED.fullmatch(text):
                    self._rest = text
                    break
                key, text = _escape(text)
            else:
                key, text = _CONTROLS.get(text[0], text[0] if text[0].isprintable() else ""), text[1:]
            if key:
                keys.append(key)
        return keys

    def flush(self) -> list[str]:
        """Returns the keys of an unfinished sequence: Esc, and what a person typed after it."""
        text, self._rest = self._rest, ""
        return ["esc", *(character for character in text[1:] if character.isprintable())] if text else []


def _escape(text: str) -> tuple[str, str]:
    """Returns the key at the beginning of a text that begins with Esc, empty for one without a name, and the rest."""
    if match := _CSI.match(text):
        parameters, final = match[1], match[2]
        key = _NUMBERS.get(parameters.partition(";")[0], "") if final == "~" else _FINALS.get(final, "")
        return key, text[match.end() :]
    if text[1:2] == "O" and len(text) > 2:
        return _FINALS.get(text[2], "enter" if text[2] == "M" else ""), text[3:]
    return "esc", text[1:]
