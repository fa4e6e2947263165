"""Splits the bytes of a pipe into lines, independent of how the pipe divided them."""

from __future__ import annotations

import codecs
import re

from asman_shared import limits
from asman_shared.messages import CRLF, LF, NO_END

Piece = tuple[str, int]
"""A line, or a piece of a long one, and its end: `LF`, `CRLF` or `NO_END`."""

_END = re.compile(r"\r\n|\n|\r(?=[^\n])")

_ENDS = {"\n": LF, "\r\n": CRLF, "\r": NO_END}


class LineSplitter:
    r"""Splits one stream into lines.

    The lines depend on the bytes alone, not on their division into chunks. A line ends at ``\n`` or ``\r\n``, which
    are removed from its text. A lone carriage return, as progress bars use it, ends a line and stays in it. Bytes that
    are not UTF-8 become U+FFFD. A line of more than ``limit`` bytes is cut into several, of which only the last has an
    end. Texts and ends together are all that was fed.

    Args:
        limit: Maximum length of one line, in UTF-8 bytes.
    """

    __slots__ = ("_decoder", "_limit", "_rest")

    def __init__(self, limit: int = limits.LOG_LINE_BYTES) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._limit = limit
        self._rest = ""

    @property
    def partial(self) -> bool:
        """True while part of a line waits for its end."""
        return bool(self._rest) or self._decoder.getstate() != (b"", 0)

    def feed(self, chunk: bytes) -> list[Piece]:
        """Returns the lines that this chunk completes."""
        return self._split(self._decoder.decode(chunk))

    def flush(self) -> list[Piece]:
        """Ends the stream; returns the rest as its last line or lines."""
        lines = self._split(self._decoder.decode(b"", final=True))
        rest, self._rest = self._rest, ""
        self._decoder.reset()
        if rest:
            lines.append((rest, NO_END))
        return lines

    def _split(self, text: str) -> list[Piece]:
        if not text:
            return []
        lines: list[Piece] = []
        seen = len(self._rest)
        text = self._rest + text
        if "\r" not in text:
            *whole, self._rest = text.split("\n")
            for line in whole:
                self._add(lines, line, LF)
        else:
            start = 0
            for end in _END.finditer(text, max(0, seen - 1)):
                self._add(lines, text[start : end.start()], _ENDS[end[0]])
                start = end.end()
            self._rest = text[start:]
        # A carriage return at the very end waits: it may be half of "\r\n".
        held = self._rest.removesuffix("\r")
        if len(held) > self._limit // 4 and len(held.encode("utf-8", "replace")) > self._limit:
            *cut, last = _cut(held, self._limit)
            lines.extend((piece, NO_END) for piece in cut)
            self._rest = last + self._rest[len(held) :]
        return lines

    def _add(self, lines: list[Piece], line: str, end: int) -> None:
        if end == NO_END:
            line += "\r"
        if len(line) > self._limit // 4 and len(line.encode("utf-8", "replace")) > self._limit:
            *cut, line = _cut(line, self._limit)
            lines.extend((piece, NO_END) for piece in cut)
        lines.append((line, end))


def _cut(text: str, limit: int) -> list[str]:
    """Cuts text into pieces of at most ``limit`` UTF-8 bytes, each as long as whole characters allow."""
    pieces: list[str] = []
    data = text.encode("utf-8", "replace")
    while len(data) > limit:
        end = limit
        while data[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(data[:end].decode())
        data = data[end:]
    pieces.append(data.decode())
    return pieces
