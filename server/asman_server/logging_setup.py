"""Log lines as JSON objects, one per line, or as text for people."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from asman_shared.terminal import safe_text
from asman_shared.terminal.log_format import SafeFormatter

_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Formats time, level, logger, message, the members of ``extra``, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns one line of JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((k, v) for k, v in record.__dict__.items() if k not in _STANDARD and k != "color_message")
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return safe_text.json(json.dumps(line, default=str, ensure_ascii=False))


def set_up_logging(level: str, form: Literal["json", "text"]) -> None:
    """Sends all log lines to standard error in one form.

    Access lines of the web server are left out: their paths hold queue names, which are secrets.
    """
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(SafeFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn.access", "uvicorn.error", "alembic", "aiosqlite", "websockets", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.WARNING)
