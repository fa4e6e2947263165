"""HTML for notebooks.

All text that a job or a worker chose is escaped, and no script, style sheet or file is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final, Protocol

from asman_shared.states import Reason, State
from asman_shared.units import format_duration, format_size

if TYPE_CHECKING:
    from asman_shared import messages as m

LONGEST: Final = 200
"""Most characters of one text."""
MOST_ROWS: Final = 100
"""Most rows of one table; a last row says how many more there are."""
AGAIN: Final = "; show it again for the newest state"
"""Note below what has not ended."""
_COLOURS: Final = {"good": "#2da44e", "bad": "#d1242f", "warn": "#bf6a02", "active": "#1f6feb", "quiet": "#8a8f98"}
_WARN: Final = frozenset({Reason.TIMED_OUT, Reason.OUT_OF_MEMORY, Reason.WORKER_LOST})


class File(Protocol):
    """An output file of a job, as `asman.Output` is."""

    name: str
    size: int
    size_known: bool
    sha256: str
    media_type: str


def text(value: object) -> str:
    """Escapes a text; a long one is cut, and control characters and odd spaces are shown by their escapes."""
    words = str(value)
    if len(words) > LONGEST:
        words = f"{words[: LONGEST - 1]}…"
    return escape("".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in words))


def link(url: str, words: str) -> str:
    """Returns a link, if the URL is one of the web; the plain words otherwise."""
    if not url.startswith(("http://", "https://")):
        return text(words)
    return f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{text(words)}</a>'


def state_words(state: m.JobState) -> str:
    """Returns the state of a job in a word or two."""
    if state.verdict is not None:
        return state.verdict.reason.value
    if state.state is State.RUNNING and state.phase is not None and state.phase.value != "running":
        return f"{state.state.value} ({state.phase.value})"
    return state.state.value


def badge(state: m.JobState) -> str:
    """Returns the state of a job as a coloured dot and words."""
    tone = "active" if state.state is State.RUNNING else "quiet"
    if (verdict := state.verdict) is not None:
        if verdict.ok:
            tone = "good"
        elif verdict.reason in _WARN:
            tone = "warn"
        elif verdict.reason in (Reason.FAILED, Reason.ERROR):
            tone = "bad"
    dot = f'<span style="color:{_COLOURS[tone]}">&#9679;</span>'
    return f"{dot} {text(state_words(state))}"


def took(milliseconds: int | None) -> str:
    """Returns a duration in words; empty if it is not known."""
    return format_duration(milliseconds) if milliseconds else ""


def facts(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Returns a heading and a table of names and values.

    Args:
        title: HTML.
        rows: Names, and values as HTML; those without a value are left out.
    """
    made = "".join(
        f'<tr><th style="text-align:left">{text(name)}</th><td style="text-align:left">{value}</td></tr>'
        for name, value in rows
        if value
    )
    return f"<div><strong>{title}</strong><table>{made}</table></div>"


def as_of(moment: float, note: str) -> str:
    """Returns the line below what changes: the time that it is of, and what a reader has to know of it.

    Args:
        moment: In seconds since the epoch; shown in this machine's zone.
        note: Words for the reader.
    """
    at = datetime.fromtimestamp(moment, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    return f'<div style="color:{_COLOURS["quiet"]}">as of {text(at)}{text(note)}</div>'


def queue(host: str, welcome: m.Welcome | None) -> str:
    """Returns the numbers of a queue, as the hub told them when the connection was opened."""
    if welcome is None:
        return f"<div><strong>Queue on {text(host)}</strong>, not connected</div>"
    counts = welcome.counts
    rows = (
        ("waiting", str(counts.queued)),
        ("running", str(counts.running)),
        ("finished", str(counts.finished)),
        ("workers", str(counts.workers)),
    )
    when = as_of(welcome.time / 1000, ", when this connection was opened; connect again for newer numbers")
    return f"<div>{facts(f'Queue on {text(host)}', rows)}{when}</div>"


def grid(heads: Sequence[str], rows: Iterable[Sequence[str]], total: int) -> str:
    """Returns a table.

    Args:
        heads: The names of the columns.
        rows: Cells as HTML; the first `MOST_ROWS` are shown.
        total: The number of all rows.
    """
    head = "".join(f'<th style="text-align:left">{text(each)}</th>' for each in heads)
    body = [
        "<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in row) + "</tr>"
        for row, _ in zip(rows, range(MOST_ROWS), strict=False)
    ]
    if total > len(body):
        body.append(f'<tr><td colspan="{len(heads)}">… and {total - len(body):,} more</td></tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def outputs_grid(outputs: Iterable[File], total: int) -> str:
    """Returns the table of a job's outputs."""
    rows = (
        (
            f"<code>{text(each.name)}</code>",
            output_size(each),
            text(each.media_type),
            f"<code>{text(each.sha256[:12])}</code>",
        )
        for each in outputs
    )
    return grid(("output", "size", "type", "sha256"), rows, total) if total else "<p>no outputs</p>"


def output_size(output: File) -> str:
    """Returns the size of an output in words."""
    return format_size(output.size) if output.size_known else "unknown size"
