"""The output of one run: logged line by line within limits, and its end kept for the reason of a failure."""

from __future__ import annotations

from publisher import Log
from publisher.terminal import printable

LONGEST_LINE = 1000
MOST_LINES = 100
KEPT_BYTES = 1024


class ProgramOutput:
    """Both streams of one run: its first hundred lines are logged, then only their size. One thread."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lines_left = MOST_LINES
        self._size = 0
        self._is_cut = False
        self.out, self.err = OutputStream(self), OutputStream(self)

    def count(self, size: int) -> bool:
        """Counts bytes that were received; returns whether lines are still logged."""
        self._size += size
        self._is_cut = self._is_cut or not self._lines_left
        return self._lines_left > 0

    def show(self, line: bytes) -> None:
        """Logs a line as text that no terminal obeys, and of a long one its beginning."""
        if not self._lines_left:
            return
        self._lines_left -= 1  # for an empty line, too: of a hundred megabytes of them only the size is looked at
        self._is_cut = self._is_cut or len(line) > LONGEST_LINE
        if line:
            self._log.info("%s", printable(_decoded(line[:LONGEST_LINE]), keep="\t"))

    def close(self) -> None:
        """Logs what is left of both streams, and the size of an output that was not logged whole."""
        for stream in (self.out, self.err):
            stream.close()
        if self._is_cut:
            self._log.info("the output has %d bytes; the rest of it is not logged", self._size)


class OutputStream:
    """Standard output, or standard error."""

    def __init__(self, output: ProgramOutput) -> None:
        self._output = output
        self._line = b""
        self._end = b""

    @property
    def end(self) -> str:
        """The last 1 KiB, on one line."""
        return printable(" ".join(_decoded(self._end).split()))

    def take(self, data: bytes) -> None:
        """Takes what was read."""
        self._end = (self._end + data[-KEPT_BYTES:])[-KEPT_BYTES:]
        # Of 100 MB only the size is looked at.
        for part in data.splitlines(keepends=True) if self._output.count(len(data)) else ():
            # One more than is shown, to know that it is longer.
            self._line += part[: LONGEST_LINE + 1 - len(self._line)]
            if part.endswith((b"\n", b"\r")):
                self.close()

    def close(self) -> None:
        """Logs the line that was begun."""
        line, self._line = self._line, b""
        self._output.show(line.rstrip(b"\r\n"))


def _decoded(data: bytes) -> str:
    return data.decode(errors="backslashreplace")
