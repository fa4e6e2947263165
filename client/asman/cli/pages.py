"""The help pages that list commands, made from the table without importing any command."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from .command_table import ABOUT, TREE, Command, Noun

HELP_WORDS: Final = ("-h", "--help")
COMPLETION_VARIABLE: Final = "_ASMAN_COMPLETE"
"""Set by a shell that asks for completions; a line without words does not ask for help then."""

VERSION_SAYS: Final = "Show the version."
DEBUG_SAYS: Final = "Show the traceback of an error."
_HELP: Final = ("-h, --help", "Show this message and exit.")
_OPTIONS: Final = (
    ("--version", VERSION_SAYS),
    ("--debug", DEBUG_SAYS),
    ("--install-completion", "Set up completion for this shell."),
    ("--show-completion", "Print the completion script."),
    _HELP,
)


def asked(words: Sequence[str]) -> str | None:
    """Returns the help page that a command line asks for; None if it asks for something else."""
    if not words or words[-1] not in HELP_WORDS or COMPLETION_VARIABLE in os.environ:
        return None
    match list(words[:-1]):
        case []:
            return page()
        case [name] if isinstance(TREE.get(name), Noun):
            return page(name)
        case _:
            return None


def page(noun: str = "") -> str:
    """Returns the help page of all commands, or of the commands of a noun."""
    found = TREE.get(noun)
    if isinstance(found, Noun):
        return _page(f"asman {noun}", found.says, (_HELP,), found.commands)
    about = ABOUT.replace(": ", ":\n  ")  # too long for one line
    return _page("asman", about, _OPTIONS, TREE) + "\nRun 'asman COMMAND --help' for the details of a command.\n"


def _page(name: str, about: str, options: Iterable[tuple[str, str]], commands: Mapping[str, Command | Noun]) -> str:
    listed = [(each, commands[each].says) for each in commands]
    return (
        f"Usage: {name} [OPTIONS] COMMAND [ARGS]...\n\n  {about}\n\n"
        f"Options:\n{_table(options)}\nCommands:\n{_table(listed)}"
    )


def _table(rows: Iterable[tuple[str, str]]) -> str:
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    return "".join(f"  {name:<{width}}  {says}\n" for name, says in rows)
