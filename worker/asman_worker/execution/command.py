"""Turns a job's command into the argv of its process, by one rule.

- A list is argv, unchanged.
- A string that needs a shell runs as ``/bin/sh -c <string>``. It needs one when, outside of quotes, it contains any of
  ``| & ; < > ( ) ` * ? [``, a line break, a word that begins with ``#`` or ``~``, or a ``$`` that starts something
  other than a plain variable. It also needs one when a `` ` `` or a ``$`` of that kind stands inside double quotes, or
  when its first word is ``!`` or ``NAME=value``.
- Any other string is split into words as a shell splits them. ``$NAME`` and ``${NAME}`` outside single quotes are
  replaced from the job's own environment. A name that is not set there stays as written, so that a shell inside the
  container can read it (``sh -c "for i in 1 2; do echo $i; done"``). Values are never split again.

So ``sh -c "cat /inputs/a > /outputs/b"`` is split, as its ``>`` is quoted, and ``cat a > b`` runs in a shell. The rule
reads the text only, never the image: the job's id does not depend on where it runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from asman_shared.errors import BadDefinition

SHELL: Final = ("/bin/sh", "-c")

_SPECIAL: Final = frozenset("|&;<>()`*?[\n\r")
_SPECIAL_FIRST: Final = frozenset("#~")
_VARIABLE: Final = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


class _NeedsShell(Exception):
    """The string can't be run without a shell."""


def argv(command: str | list[str] | None, env: Mapping[str, str]) -> list[str] | None:
    """Returns the argv of a command or entrypoint; None when the job names none.

    Args:
        command: The command as it stands in the definition.
        env: The values of variables, for a command that runs without a shell.

    Raises:
        BadDefinition: A quote is not closed.
    """
    if command is None or isinstance(command, list):
        return command
    if not command.strip():
        return None
    try:
        return _split(command.strip(), env)
    except _NeedsShell:
        return [*SHELL, command]


def _split(text: str, env: Mapping[str, str]) -> list[str]:
    words: list[str] = []
    word: list[str] | None = None
    quoted = False
    at = 0
    while at < len(text):
        char = text[at]
        if char in " \t":
            _close(words, word, quoted)
            word = None
            quoted = False
            at += 1
            continue
        if char in _SPECIAL or (word is None and char in _SPECIAL_FIRST):
            raise _NeedsShell
        word = [] if word is None else word
        if char == "'":
            end = text.find("'", at + 1)
            if end < 0:
                raise BadDefinition("a single quote in the command is not closed", field="definition.command")
            word.append(text[at + 1 : end])
            quoted = True
            at = end + 1
        elif char == '"':
            at = _double(text, at + 1, word, env)
            quoted = True
        elif char == "\\":
            if at + 1 >= len(text):
                raise BadDefinition("the command ends in a backslash", field="definition.command")
            word.append(text[at + 1])
            at += 2
        elif char == "$":
            at = _variable(text, at, word, env)
        else:
            word.append(char)
            at += 1
            if char == "=" and not words and not quoted and _ASSIGNMENT.fullmatch("".join(word)):
                raise _NeedsShell
    _close(words, word, quoted)
    return words


def _close(words: list[str], word: list[str] | None, quoted: bool) -> None:
    """Ends a word; a word of nothing but empty variables is dropped."""
    made = "".join(word or ())
    if made == "!" and not words and not quoted:
        raise _NeedsShell
    if word is not None and (made or quoted):
        words.append(made)


def _double(text: str, at: int, word: list[str], env: Mapping[str, str]) -> int:
    """Reads up to the closing double quote; returns the position behind it."""
    while at < len(text):
        char = text[at]
        if char == '"':
            return at + 1
        if char == "`":
            raise _NeedsShell
        if char == "\\" and at + 1 < len(text) and text[at + 1] in '$`"\\\n':
            if text[at + 1] != "\n":
                word.append(text[at + 1])
            at += 2
        elif char == "$":
            at = _variable(text, at, word, env)
        else:
            word.append(char)
            at += 1
    raise BadDefinition("a double quote in the command is not closed", field="definition.command")


def _variable(text: str, at: int, word: list[str], env: Mapping[str, str]) -> int:
    found = _VARIABLE.match(text, at)
    if found is not None:
        word.append(env.get(found[1] or found[2], found[0]))
        return found.end()
    following = text[at + 1 : at + 2]
    if following and following not in " \t\"'\\/.,:=%+-":
        raise _NeedsShell
    word.append("$")
    return at + 1
