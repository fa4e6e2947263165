"""``asman schema``: JSON Schemas of ``--json`` output, for programs that read it."""

from __future__ import annotations

from typing import Annotated

import typer

from ..terminal import Terminal


def schema(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]", help="A command such as: job list.", show_default=False)
    ] = None,
) -> None:
    """Print the JSON Schema of a command's --json output, or those of all commands."""
    from asman_shared.errors import NotFound

    from ..json_schemas import SHAPES, schema_of

    command = " ".join(words or [])
    if command and command not in SHAPES:
        raise NotFound(f"there is no schema for '{command}'; there are: {', '.join(SHAPES)}")
    Terminal(json=True).value(schema_of(command) if command else {name: schema_of(name) for name in SHAPES})
