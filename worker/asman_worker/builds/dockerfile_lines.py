"""Splits a Dockerfile into instructions and words, by the rules of the engine's own parser.

Source of the rules: BuildKit's ``frontend/dockerfile/parser`` and ``shell``, which Docker's classic builder uses, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from asman_shared.errors import ExecutionError
from asman_shared.units import MIB

LARGEST: Final = MIB
KEYWORDS: Final = frozenset(
    ("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
     "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR")
)  # fmt: skip
_DIRECTIVE: Final = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)")
_DIRECTIVES: Final = frozenset({"escape", "syntax", "check"})
_SPACE: Final = re.compile(r"[\t\v\f\r ]+")
_BLANK: Final = "\t\v\f\r \x85\xa0"
_PARTS_OF_SPACE: Final = ("\udc85", "\udca0")
"""Bytes that are not UTF-8, and that the engine takes for white space."""
_HEREDOC: Final = re.compile(r"\d*<<-?[^<]+")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEEPEST: Final = 20
"""Deepest nesting of variables in the defaults of others that is understood."""
_CHUNK: Final = 30_000
"""Length from which a line is written in pieces: engines take 65,535 bytes."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Attributes:
        line: Number of its first line, from 1.
        keyword: Its keyword in capitals.
        flags: Its flags, such as ``--from=build``.
        rest: All after the flags.
    """

    line: int
    keyword: str
    flags: tuple[str, ...]
    rest: str

    def refused(self, why: str) -> ExecutionError:
        """Makes the error of an instruction that can't be used."""
        return ExecutionError(f"line {self.line} of the Dockerfile can't be used: {why}")

    def words(self) -> tuple[list[str], bool]:
        """Returns its words, and whether they are written as a list in JSON."""
        if self.rest.startswith("["):
            try:
                found = json.loads(self.rest)
            except (ValueError, RecursionError):
                found = None
            if isinstance(found, list) and all(isinstance(each, str) for each in found):
                return found, True
        return [word for word in _SPACE.split(self.rest) if word], False


@dataclass(frozen=True, slots=True)
class Lines:
    """A Dockerfile that was split.

    Attributes:
        escape: Its escape character.
        instructions: Its instructions, in order.
    """

    escape: str
    instructions: tuple[Instruction, ...]


def split(text: str) -> Lines:
    """Splits a Dockerfile.

    Raises:
        ExecutionError: It is too long, or a line can't be read for certain.
    """
    if len(text) > LARGEST:
        raise ExecutionError(f"the Dockerfile is longer than {LARGEST} bytes")
    escape, directives = "\\", True
    joined: list[tuple[int, str]] = []
    held: list[str] | None = None
    start = 0
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = raw.rstrip("\r")
        stripped = line.strip(_BLANK)
        if held is None:
            found = _DIRECTIVE.fullmatch(line.lstrip(_BLANK)) if directives else None
            if found is not None and found[1].lower() in _DIRECTIVES:
                if found[1].lower() == "escape":
                    escape = _escape(found[2].rstrip(), number)
                continue
            directives = False
            line = line.lstrip(_BLANK)
            start = number
        if not stripped or stripped.startswith("#"):
            continue
        line, goes_on = _cut(line, escape, number)
        held = [] if held is None else held
        held.append(line)
        if not goes_on:
            joined.append((start, "".join(held)))
            held = None
    if held is not None:
        joined.append((start, "".join(held)))
    instructions = (instruction(line, number, escape) for number, line in joined if line.strip(_BLANK))
    return Lines(escape, tuple(instructions))


def _escape(value: str, number: int) -> str:
    if value not in ("\\", "`"):
        raise ExecutionError(f"line {number} of the Dockerfile can't be used: the escape character is ` or \\")
    return value


def _cut(line: str, escape: str, number: int) -> tuple[str, bool]:
    """Returns a line without its mark of continuation, and whether it had one."""
    end = line.rstrip("\t ")
    if not end.endswith(escape):
        return line, False
    if end.endswith(escape * 2):
        # Some engines join the next line, others don't.
        raise ExecutionError(f"line {number} of the Dockerfile can't be used: it ends with {escape * 2}")
    return end.removesuffix(escape), True


def instruction(line: str, number: int, escape: str) -> Instruction:
    """Reads one instruction.

    Raises:
        ExecutionError: It is unknown, or can't be read for certain.
    """
    keyword, _, rest = _SPACE.sub(" ", line.strip(_BLANK), count=1).partition(" ")
    keyword, rest = keyword.upper(), rest.strip(_BLANK)
    made = Instruction(number, keyword, (), rest)
    if keyword not in KEYWORDS:
        raise made.refused(f"'{keyword[:40]}' is not an instruction")
    if rest.endswith(escape):
        raise made.refused(f"it ends with {escape}")
    flags: list[str] = []
    # Of these alone the engine takes flags; elsewhere such words are a part of the value.
    while keyword in ("ADD", "COPY", "FROM", "HEALTHCHECK", "RUN") and rest.startswith("--"):
        flag, *behind = _SPACE.split(rest, maxsplit=1)
        if any(mark in flag for mark in ("'", '"', escape)):
            raise made.refused("a flag has quotation marks")
        rest = behind[0] if behind else ""
        if flag == "--":
            break
        if not flag.isascii():
            # The engine reads flags byte by byte: a part of a letter may end one, and another may follow.
            raise made.refused("a flag has a letter that is not ASCII")
        flags.append(flag)
    if rest[:1].isspace() or rest[:1] in _PARTS_OF_SPACE:
        # The engine looks for flags behind it.
        raise made.refused("it has white space other than spaces and tabs before its first word")
    made = Instruction(number, keyword, tuple(flags), rest)
    if keyword == "RUN":
        for flag in flags:
            raise made.refused(f"RUN {flag.partition('=')[0]} needs BuildKit, and this worker builds without it")
    if keyword in ("ADD", "COPY", "RUN") and any(_HEREDOC.fullmatch(word) for word in _SPACE.split(rest)):
        raise made.refused("a here-document (<<) needs BuildKit, and this worker builds without it")
    return made


def written(text: str, escape: str) -> str:
    """Returns an instruction as lines that each engine reads alike."""
    if len(text) <= _CHUNK:
        return f"{text}\n"
    pieces: list[str] = []
    while len(text) > _CHUNK:
        at = _CHUNK
        # A line of a continuation must not be taken for a comment or be empty, and no other mark may end it.
        while at < len(text) and (
            text[at - 1] in (escape, " ", "\t") or text[at] in f"#{_BLANK}" or text[at].isspace()
        ):
            at += 1
        pieces.append(text[:at])
        text = text[at:]
    return f"{escape}\n".join([*pieces, text] if text else pieces) + "\n"


class UnknownVariable(Exception):
    """A text has a variable whose value is not known before the build, or a form that is not understood."""


def expanded(text: str, known: Mapping[str, str], escape: str, *, certain: bool = False, depth: int = 0) -> str:
    """Returns a word without its quotation marks, and with its variables filled in, as the engine does it.

    Args:
        text: The word.
        known: Values of variables.
        escape: The escape character.
        certain: Whether a variable without a value is an error instead of nothing.
        depth: Number of variables whose default this word is a part of.

    Raises:
        UnknownVariable: The form of a variable is not understood, or it has no value and ``certain`` is true.
    """
    if depth > _DEEPEST:
        raise UnknownVariable(text)
    made: list[str] = []
    at, quote = 0, ""
    while at < len(text):
        letter = text[at]
        if letter == quote:
            quote = ""
        elif quote == "'" or (letter not in f"'\"${escape}") or (letter == "'" and quote):
            made.append(letter)
        elif letter in "'\"":
            quote = letter
        elif letter == escape:
            at += 1
            following = text[at : at + 1]
            if quote and following not in f'"${escape}':
                made.append(letter)
            made.append(following)
        else:
            value, at = _variable(text, at + 1, known, escape, certain, depth)
            made.append(value)
            continue
        at += 1
    if quote:
        raise UnknownVariable(text)
    return "".join(made)


def _variable(text: str, at: int, known: Mapping[str, str], escape: str, certain: bool, outer: int) -> tuple[str, int]:
    """Reads a variable after its ``$``; returns its value and the place behind it."""
    braced = text[at : at + 1] == "{"
    name = _NAME.match(text, at + braced)
    if name is None:
        raise UnknownVariable(text)
    value, at = known.get(name[0]), name.end()
    if not braced:
        return _value(value, text, certain), at
    depth, end = 1, at
    while end < len(text) and depth:
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    if depth:
        raise UnknownVariable(text)
    form, other = re.fullmatch(r"(:?[-+])?(.*)", text[at : end - 1], re.DOTALL).groups()  # type: ignore[union-attr]
    if form is None:
        if other:
            raise UnknownVariable(text)
        return _value(value, text, certain), end
    is_set = value is not None and (value != "" or ":" not in form)
    if certain and value is None:
        raise UnknownVariable(text)
    if is_set is ("+" in form):
        return expanded(other, known, escape, certain=certain, depth=outer + 1), end
    return (value or "") if is_set else "", end


def _value(value: str | None, text: str, certain: bool) -> str:
    if value is None and certain:
        raise UnknownVariable(text)
    return value or ""


def assignments(each: Instruction, known: Mapping[str, str], escape: str) -> Iterator[tuple[str, str | None]]:
    """Yields names and values of an ``ARG`` or ``ENV``; a value that is not understood is None, as is no value."""
    rest = each.rest
    words = _quoted(rest, escape)
    if each.keyword == "ENV" and len(words) > 1 and "=" not in words[0]:
        # The old form: ENV name the whole value
        words = [f"{words[0]}={rest[len(words[0]) :].strip(_BLANK)}"]
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            yield name, None
            continue
        try:
            yield name, expanded(value, known, escape, certain=True)
        except UnknownVariable:
            yield name, None


def _quoted(rest: str, escape: str) -> list[str]:
    """Splits at white space outside of quotation marks."""
    words: list[str] = []
    word, quote, at = "", "", 0
    while at < len(rest):
        letter = rest[at]
        if letter == escape and quote != "'":
            word += rest[at : at + 2]
            at += 2
            continue
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _BLANK:
            words, word = ([*words, word] if word else words), ""
            at += 1
            continue
        word += letter
        at += 1
    return [*words, word] if word else words
