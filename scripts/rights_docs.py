"""Write the table of rights into docs/keys.md: every request and message, and the keys that allow it.

usage: python -m scripts.rights_docs [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from asman_server.access import ALL_RIGHTS
from asman_server.access import table as t
from asman_server.access.rights import DERIVED
from asman_server.dialect.operations import OPERATIONS as DIALECT
from asman_server.mcp.operations import OPERATIONS as MCP
from asman_server.rest.operations import OPERATIONS as REST
from asman_server.tes.operations import OPERATIONS as TES

from .generated_page import write_or_check

FILE: Final = Path(__file__).resolve().parent.parent / "docs" / "keys.md"
MARK: Final = "<!-- From here on: made by `python -m scripts.rights_docs`; a test says when it is not current. -->\n"
"""Divides the page: the text above is written by hand."""
_KEYS: Final[dict[str, t.Needs]] = {**{kind.value: rights for kind, rights in DERIVED.items()}, "the name": ALL_RIGHTS}
_HEAD: Final = f"| {' | '.join(_KEYS)} |\n|---|{'|'.join([':-:'] * len(_KEYS))}|\n"


def document() -> str:
    """Returns the whole page, with the present text by hand."""
    return FILE.read_text().partition(MARK)[0] + MARK + "".join(_tables())


def _tables() -> Iterator[str]:
    for title, operations in (("REST", REST), ("The dialect over HTTP", DIALECT), ("MCP", MCP), ("TES", TES)):
        rows = ((f"`{each.method} {each.path}`", t.REQUESTS[each.name]) for each in operations)
        yield from _table(title, "request", ((says, needs) for says, needs in rows if needs is not None))
    yield from _table("Methods of MCP", "method", _quoted(t.MCP_METHODS))
    yield from _table("Tools of MCP", "tool", _quoted(t.MCP_TOOLS))
    yield from _table("Messages of clients", "message", _quoted(t.CLIENT_MESSAGES))
    yield from _table("Messages of workers", "message", _quoted(t.WORKER_MESSAGES))
    yield from _table("Messages of the dialect's clients", "message", _quoted(t.DIALECT_CLIENT_MESSAGES))
    yield from _table("Messages of the dialect's workers", "message", _quoted(t.DIALECT_WORKER_MESSAGES))
    yield from _table("Members that need more", "member", _quoted(t.PARTS))


def _quoted(rows: dict[str, t.Needs]) -> Iterator[tuple[str, t.Needs]]:
    for name, needs in rows.items():
        yield f"`{name}`", needs


def _table(title: str, first: str, rows: Iterable[tuple[str, t.Needs]]) -> Iterator[str]:
    yield f"\n### {title}\n\n| {first} {_HEAD}"
    for says, needs in rows:
        marks = " | ".join("yes" if needs <= rights else "" for rights in _KEYS.values())
        yield f"| {says} | {marks} |\n"


if __name__ == "__main__":
    sys.exit(write_or_check(FILE, document, __doc__))
