"""Write docs/cli.md from the commands themselves.

usage: python -m scripts.cli_docs [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asman.cli.exits import EXIT_CODES
from asman.cli.tree import command_tree

from .generated_page import write_or_check

FILE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"

_HEAD = """# The command line

Made from the commands themselves by `python -m scripts.cli_docs`; a test checks that it is current.

One grammar: `asman NOUN VERB [QUEUE] [JOB]`, and `asman run` for the most common case. A queue is named by its URL,
by its name and `--hub` (or `$ASMAN_HUB`), by `@name` with your own name for it (`asman queue add URL --as name`), or
by `$ASMAN_QUEUE`; a job is named by its id, a prefix of its id, or its URL. Results go to standard output and
everything else to standard error; progress bars and status lines appear only on a terminal. `--json` makes the result
one JSON value, and `asman schema COMMAND` prints its JSON Schema. `asman --debug COMMAND` (or `ASMAN_DEBUG=1`) shows
the traceback of an error. `asman --install-completion` sets up completion for your shell.

## Exit codes

A command that runs a job or waits for one exits with the job's own exit code. All others:

| code | meaning |
|---|---|
"""


def document() -> str:
    """Returns the whole page."""
    codes = "".join(f"| {code} | {says} |\n" for code, says in EXIT_CODES.items())
    return _HEAD + codes + "".join(_section(*each) for each in _commands(command_tree(), "asman"))


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
        return
    for child in children:
        yield from _commands(children[child], f"{name} {child}")


def _section(name: str, command: Any) -> str:
    text, *more = [" ".join(part.split()) for part in (command.help or "").split("\n\n")]
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    usage = " ".join([name, *(str(each.metavar or each.human_readable_name) for each in arguments), "[OPTIONS]"])
    lines = [f"\n## {name}\n\n    {usage}\n\n{text}\n"]
    lines += [f"\n    {part}\n" if part.startswith("asman ") else f"\n{part}\n" for part in more]  # a line to type
    shown = [each for each in command.params if not getattr(each, "hidden", False) and each.name != "help"]
    if shown:
        lines.append("\n| | |\n|---|---|\n")
        lines += [f"| {_names(each)} | {_cell(getattr(each, 'help', '') or '')} |\n" for each in shown]
    return "".join(lines)


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_cell(str(parameter.metavar or parameter.human_readable_name))}`"
    names = [*parameter.opts, *parameter.secondary_opts]
    value = "" if parameter.is_flag else f" {_cell(str(parameter.metavar or 'VALUE'))}"
    return "`" + ", ".join(names) + value + "`"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    sys.exit(write_or_check(FILE, document, __doc__))
