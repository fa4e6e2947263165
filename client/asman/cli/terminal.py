"""What is written where: results to standard output, everything else to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from ..logs import Line


class NobodyReadsError(Exception):
    """Who read the output has left; an error of its own, for typer takes a `BrokenPipeError` to itself."""


class Terminal:
    """The two streams of this process.

    Args:
        json: Standard output is for one JSON value; a job's own output goes to standard error.
        quiet: No notes.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet

    def note(self, text: str) -> None:
        """Says something about what is being done."""
        if not self.quiet:
            _write(sys.stderr, f"{text}\n")

    def result(self, text: str) -> None:
        """Writes a line of the result."""
        _write(sys.stdout, f"{text}\n")

    def data(self, data: bytes) -> None:
        """Writes bytes of the result as they are."""
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise NobodyReadsError from None

    def value(self, value: Any) -> None:
        """Writes the result as JSON."""
        import json

        _write(sys.stdout, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def line(self, value: Any) -> None:
        """Writes one of several JSON values, on a line of its own."""
        import json

        _write(sys.stdout, json.dumps(value, ensure_ascii=False) + "\n")

    def logs(self, lines: list[Line]) -> None:
        """Writes lines of a job's log, each to the stream that the job wrote it to and in their order."""
        to, texts = sys.stdout, list[str]()
        for line in lines:
            stream = sys.stdout if line.stream == "stdout" and not self.json else sys.stderr
            if stream is not to:
                if texts:
                    _write(to, "".join(texts))
                to, texts = stream, []
            if line.stream != "system" or not self.quiet:
                texts.append(line.text if line.text.endswith("\r") else f"{line.text}\n")
        if texts:
            _write(to, "".join(texts))


def plain() -> None:
    """Makes both streams take any text: what they can't encode is escaped instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _write(to: TextIO, text: str) -> None:
    try:
        to.write(text)
        to.flush()
    except BrokenPipeError:
        raise NobodyReadsError from None


@contextmanager
def progress(title: str, total: int, *, quiet: bool = False) -> Iterator[Any]:
    """A bar on a terminal, nothing elsewhere.

    Args:
        title: What is moved.
        total: Bytes; a little of them is moved without a bar.
        quiet: No bar at all.

    Yields:
        A function that is told how many bytes more have been moved.
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
    """Lines of a table: columns by two spaces, so that people and ``awk`` can both read it."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
