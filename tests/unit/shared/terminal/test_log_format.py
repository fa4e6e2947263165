"""Log lines on a terminal: what other people wrote can't steer it, or look like further lines."""

from __future__ import annotations

import logging
import sys

import pytest

from asman_shared.terminal.log_format import SafeFormatter, make_last_resort_safe

STEERS = "\x1b]0;title\x07\x1b[2J\x9b2J\r\n2026-01-01 ERROR forged\x7f"


def record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("asman.worker", logging.WARNING, "", 0, message, args, None)


def test_a_message_is_one_line_without_any_control_character() -> None:
    for made in (record("image %s", STEERS), record(f"image {STEERS}")):
        shown = SafeFormatter("%(levelname)s %(name)s: %(message)s").format(made)
        assert shown.isprintable()
        assert shown.startswith("WARNING asman.worker: image \\x1b]0;title")


def test_a_traceback_keeps_its_lines_and_steers_nothing() -> None:
    made = record("it broke")
    try:
        raise ValueError(STEERS)
    except ValueError:
        made.exc_info = sys.exc_info()
    plain = logging.Formatter().format(made)
    assert "\x1b" in plain
    for _ in range(2):  # another handler's formatter may have formatted the traceback before
        lines = SafeFormatter().format(made).split("\n")
        assert lines[:2] == ["it broke", "Traceback (most recent call last):"]
        assert all(line.isprintable() for line in lines)


def test_a_program_without_a_log_of_its_own_writes_safe_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = logging.StreamHandler()
    monkeypatch.setattr(logging, "lastResort", handler)
    make_last_resort_safe()
    assert handler.format(record(STEERS)).isprintable()
    monkeypatch.setattr(logging, "lastResort", None)
    make_last_resort_safe()
