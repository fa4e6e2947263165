"""The hub's own log: one JSON object a line or text, and no line that could hold a queue's name."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from asman_server.logging_setup import JsonLines, set_up_logging


@pytest.fixture
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in ("uvicorn.access", "uvicorn.error", "alembic")}
    quiet |= {name: logging.getLogger(name).level for name in ("aiosqlite", "websockets", "sqlalchemy")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)


def written(record: logging.LogRecord) -> dict[str, Any]:
    line = JsonLines().format(record)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def record(message: str, *args: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("asman.hub", logging.WARNING, "", 0, message, args, None)
    made.__dict__.update(more)
    return made


def test_a_line_says_when_who_what_and_all_that_came_with_it() -> None:
    line = written(record("%s is\nlate", "it", job="a", count=3, color_message="painted"))
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "warning", "logger": "asman.hub", "message": "it is\nlate", "job": "a", "count": 3}


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_steers_a_terminal(form: Any) -> None:
    set_up_logging("info", form)
    (handler,) = logging.getLogger().handlers
    shown = handler.format(record("job %s", "a\x1b[2J\x9b2J\x7f\r\nforged", name_of_it="\x1b]0;t\x07\x9c"))
    assert shown.isprintable()
    assert "forged" in shown


def test_what_is_no_json_is_written_as_text() -> None:
    assert written(record("x", thing={1}.__class__))["thing"] == "<class 'set'>"


def test_an_error_comes_with_its_traceback() -> None:
    try:
        raise ValueError("oh")
    except ValueError:
        made = logging.LogRecord("a", logging.ERROR, "", 0, "it broke", (), sys.exc_info())
    assert "ValueError: oh" in written(made)["traceback"]


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("form", ["json", "text"])
def test_lines_of_the_level_go_to_standard_error_and_those_of_web_servers_do_not(
    form: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    set_up_logging("info", form)
    logging.getLogger("asman.hub").info("hello")
    logging.getLogger("asman.hub").debug("unimportant")
    logging.getLogger("uvicorn.access").info("GET /q/secret")
    (line,) = stream.getvalue().splitlines()
    assert "hello" in line
    assert line.startswith("{") == (form == "json")
