"""Records how much of a container's output the hub has, so that a later process of the worker goes on from there."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from .interface import Reporter

log = logging.getLogger("asman.worker.log_checkpoint")

_SECONDS: Final = 5.0
"""Time for which lines must have been sent before a position behind them is recorded, in seconds."""


T = TypeVar("T")


class LogCheckpoint:
    """The recorded position in the output of one container. A position is whatever JSON can hold.

    Args:
        path: The file that records it.
        report: Receives the output.
    """

    def __init__(self, path: Path, report: Reporter) -> None:
        self._path = path
        self._report = report
        self._candidate: tuple[float, int, Any] | None = None

    def save(self, position: Any) -> None:
        """Records a position whose first line is the next one."""
        self._write(self._report.next_line, position)

    def load(self, read: Callable[[Any], T]) -> T | None:
        """Goes on where an earlier process was; returns its position, or None if there is none that can be read.

        Args:
            read: Makes the position of what JSON gives.
        """
        try:
            seq, given = json.loads(self._path.read_bytes())
            position = read(given)
            self._report.start_at(int(seq))
        except (OSError, ValueError, TypeError):
            return None
        return position

    def note(self, position: Callable[[], Any]) -> None:
        """Records a position once all lines before it were sent some time ago.

        Args:
            position: Returns the present position.
        """
        now = time.monotonic()
        held = self._candidate
        if held is not None and now - held[0] > _SECONDS and self._report.sent_line >= held[1]:
            self._write(*held[1:])
            held = self._candidate = None
        if held is None and self._report.clean:
            self._candidate = (now, self._report.next_line, position())

    def _write(self, seq: int, position: Any) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text(json.dumps([seq, position]))
            fresh.replace(self._path)
        except OSError as error:
            log.warning("the log's position can't be saved: %s", error)
