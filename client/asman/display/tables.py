"""Tables of jobs and results, as text and as HTML."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

from asman_shared import messages as m
from asman_shared.definition import Definition
from asman_shared.errors import BadRequest

from . import html

_SHOWN: Final = 60
"""Most rows of a table as text."""
_WIDEST: Final = 60
"""Most characters of one cell of a table as text."""
_HEADS: Final = ("job", "state", "exit", "took", "outputs", "command")


class Table:
    """A table of jobs, made by `table`. It shows the newest known state of each job, each time that it is shown.

    Args:
        items: The jobs, states or results.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = list(items)
        for each in self._items:
            _state_of(each)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        if not self._items:
            return "no jobs"
        rows = [_HEADS, *(_cells(each) for each in self._items[:_SHOWN])]
        rows = [tuple(_short(cell) for cell in row) for row in rows]
        widths = [max(len(row[at]) for row in rows) for at in range(len(_HEADS))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        if len(self._items) > _SHOWN:
            lines.append(f"… and {len(self._items) - _SHOWN:,} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if not self._items:
            return "<p>no jobs</p>"
        grid = html.grid(_HEADS, (_html_cells(each) for each in self._items), len(self._items))
        changing = any(state is not None and state.verdict is None for state in map(_state_of, self._items))
        return f"<div>{grid}{html.as_of(time.time(), html.AGAIN)}</div>" if changing else grid


def table(items: Iterable[Any]) -> Table:
    """Returns a table of jobs for a notebook or a terminal.

    Args:
        items: Jobs (`Job`), states of jobs (as `Queue.jobs` yields them) or results (`JobResult`), in one list.

    Raises:
        BadRequest: An item is none of these.
    """
    return Table(items)


def _state_of(item: Any) -> m.JobState | None:
    """Returns the state of a job, or None for a result, which has a verdict alone.

    Raises:
        BadRequest: The item is neither.
    """
    if isinstance(item, m.JobState):
        return item
    state = getattr(item, "state", None)
    if isinstance(state, m.JobState):
        return state
    if isinstance(getattr(item, "verdict", None), m.Verdict):
        return None
    raise BadRequest(f"a table shows jobs, states of jobs and results, and no {type(item).__name__}", field="items")


def _cells(item: Any) -> tuple[str, ...]:
    state = _state_of(item)
    verdict = item.verdict if state is None else state.verdict
    ended = "" if verdict is None else verdict.reason.value
    return (
        (item.job if state is None else state.id)[:12],
        ended if state is None else html.state_words(state),
        "" if verdict is None or verdict.exit_code is None else str(verdict.exit_code),
        "" if verdict is None else html.took(verdict.duration),
        "" if verdict is None else str(verdict.outputs),
        command_of(item),
    )


def _html_cells(item: Any) -> tuple[str, ...]:
    job, state, *rest = _cells(item)
    of_job = _state_of(item)
    name = html.link(getattr(item, "url", ""), job)
    shown = html.text(state) if of_job is None else html.badge(of_job)
    return (
        f"<code>{name}</code>",
        shown,
        *(html.text(cell) for cell in rest[:-1]),
        f"<code>{html.text(rest[-1])}</code>",
    )


def command_of(item: Any) -> str:
    """Returns the command of a job as one line; empty if it is not known."""
    definition = getattr(item, "definition", None)
    if isinstance(definition, Definition):
        command = definition.command or definition.image or ""
        return command if isinstance(command, str) else " ".join(command)
    summary = getattr(item, "summary", None)
    return summary.command if summary is not None else ""


def _short(cell: str) -> str:
    line = "".join(letter if letter.isprintable() else " " for letter in cell)
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…"
