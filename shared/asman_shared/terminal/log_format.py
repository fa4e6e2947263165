"""The form of log lines for people, in which nothing that other people wrote can steer a terminal."""

from __future__ import annotations

import logging

from . import safe_text


class SafeFormatter(logging.Formatter):
    """Formats records as `logging.Formatter` does, with every control character escaped.

    A message is one line, whatever it quotes. A traceback keeps its lines.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        """Returns the line of a record, without its traceback."""
        return safe_text.word(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line of a record, and its traceback if there is one."""
        return safe_text.sentence(super().format(record))


def make_last_resort_safe() -> None:
    """Escapes the lines of a program that has not set up logging, which Python writes to standard error."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(SafeFormatter())
