"""Output of the commands: results to standard output, everything else to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from ..logs import Line


def _safe() -> ModuleType:
    """Returns the module that makes text of other people safe, which a page of help does not need."""
    from asman_shared.terminal import safe_text

    return safe_text


class OutputClosedError(Exception):
    """The reader of the output has closed it. It replaces `BrokenPipeError`, which typer would handle itself."""


class Terminal:
    """The two streams of this process.

    Args:
        json: Whether standard output is for JSON; a job's own output then goes to standard error.
        quiet: Whether notes are suppressed.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self._open = False

    def note(self, text: str) -> None:
        """Writes a note about the progress of the command."""
        if not self.quiet:
            self.end_line()
            _write(sys.stderr, f"{_safe().sentence(text)}\n")

    def error(self, text: str) -> None:
        """Writes an error or a hint, even if notes are suppressed."""
        self.end_line()
        _write(sys.stderr, f"{_safe().sentence(text)}\n")

    def result(self, text: str) -> None:
        """Writes lines of the result, for people."""
        _write(sys.stdout, f"{_safe().sentence(text)}\n")

    def data(self, data: bytes) -> None:
        """Writes bytes of the result unchanged."""
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise OutputClosedError from None

    def value(self, value: Any) -> None:
        """Writes the result as JSON."""
        import json

        _write(sys.stdout, _safe().json(json.dumps(value, indent=2, ensure_ascii=False)) + "\n")

    def line(self, value: Any) -> None:
        """Writes one of several JSON values, on a line of its own."""
        import json

        _write(sys.stdout, _safe().json(json.dumps(value, ensure_ascii=False)) + "\n")

    def logs(self, lines: list[Line], *, exact: bool = True) -> None:
        """Writes lines of a job's log in order, each to the stream that the job wrote it to.

        A stream that is not a terminal gets them byte for byte. On a terminal colour and carriage returns pass, and all
        other control sequences are dropped.

        Args:
            lines: The lines.
            exact: Whether lines have their own ends. Lines that were picked out of a log are lines of their own.
        """
        on_terminal = {each: each.isatty() for each in (sys.stdout, sys.stderr)}
        to, texts = sys.stdout, list[str]()

        def flush() -> None:
            if texts:
                text = "".join(texts)
                (_write if on_terminal[to] else _write_bytes)(to, text)
                if on_terminal[to]:
                    self._open = not text.endswith(("\n", "\r"))

        for line in lines:
            stream = sys.stdout if line.stream == "stdout" and not self.json else sys.stderr
            if stream is not to:
                flush()
                to, texts = stream, []
            if line.stream != "system" or not self.quiet:
                text = _safe().log_line(line.text) if on_terminal[stream] else line.text
                end = line.end if exact or line.end else "\n"
                texts.append(text if text.endswith("\r") else f"{text}{end}")
        flush()

    def end_line(self) -> None:
        """Ends the last line of a log on a terminal if it is open, before something else is written there."""
        if self._open:
            self._open = False
            if sys.stderr.isatty():
                _write(sys.stderr, "\n")


def page(text: str) -> None:
    """Writes a page of this program's own to standard output."""
    _write(sys.stdout, text)


def plain() -> None:
    """Makes both streams escape characters that they can't encode, instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _write(to: TextIO, text: str) -> None:
    try:
        to.write(text)
        to.flush()
    except BrokenPipeError:
        raise OutputClosedError from None


def _write_bytes(to: TextIO, text: str) -> None:
    """Writes text as UTF-8, whatever the encoding of the stream, and without a change of its line ends."""
    buffer = getattr(to, "buffer", None)
    if buffer is None:
        _write(to, text)
        return
    try:
        to.flush()
        buffer.write(text.encode("utf-8", "replace"))
        buffer.flush()
    except BrokenPipeError:
        raise OutputClosedError from None


def ask_yes_or_no(question: str, *, default: bool) -> bool:
    """Asks a person on the terminal until the answer is yes or no; Enter, and the end of the input, are ``default``."""
    while True:
        _write(sys.stderr, question)
        answer = sys.stdin.readline().strip().lower()
        if answer in ("y", "yes", "n", "no"):
            return answer in ("y", "yes")
        if not answer:
            return default


@contextmanager
def progress(title: str, total: int, *, quiet: bool = False) -> Iterator[Any]:
    """Shows a progress bar on a terminal, and nothing elsewhere.

    Args:
        title: The kind of transfer.
        total: In bytes; a small transfer shows no bar.
        quiet: Whether to show no bar at all.

    Yields:
        A function to call with the number of bytes moved since the last call.
    """
    if quiet or not sys.stderr.isatty() or total < 1024 * 1024:
        yield lambda moved: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(title, total=total)
        yield lambda moved: bars.advance(bar, moved)


def table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Formats a table as lines, with two spaces between columns, so that people and ``awk`` can both read it."""
    rows = [tuple(map(_safe().word, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
