"""Reads a Dockerfile before it is built, and writes the one that the engine builds.

The engine must use nothing that was not checked, however it reads the text. So it never gets the text itself, but one
that is written from what was understood: each instruction on a line of its own, images by the id of the image that was
checked, and files of an ``ADD <address>`` from the context, where the worker puts them. What is not understood for
certain is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote, urlsplit

from asman_shared.errors import ExecutionError

from .dockerfile_lines import Instruction, UnknownVariable, assignments, expanded, instruction, split, written

ADDED: Final = ".asman-added"
"""Folder in the context for the files of ``ADD <address>``."""
_ADDRESSES: Final = 100
_SCHEMES: Final = ("http://", "https://")
_ADDRESS: Final = re.compile(r"(?i)https?://")
_STAGE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,9}")
"""The number of a stage; the engine takes one that is too long for it for the name of an image."""
_FILE: Final = re.compile(r"[A-Za-z0-9_+@%,=~][A-Za-z0-9._+@%,=~-]*")


@dataclass(frozen=True, slots=True)
class Base:
    """An image that a build needs.

    Attributes:
        image: Name of the image.
        platform: The platform that the Dockerfile names; empty for the build's.
        begins: Whether a stage begins from it, so that its triggers run.
        stages: The stages before it, in small letters.
    """

    image: str
    platform: str = ""
    begins: bool = field(default=True, compare=False)
    stages: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True, slots=True)
class Added:
    """A file that an ``ADD`` fetches.

    Attributes:
        url: Its address.
        path: Its place in the context.
    """

    url: str
    path: str


_Part = str | tuple[Base, Callable[[str], str]]
"""An instruction, or one that is made of the id of an image."""


@dataclass(slots=True)
class Dockerfile:
    """A Dockerfile that was read.

    Attributes:
        escape: Its escape character.
        bases: The images that it needs, in order, each once.
        added: The files that it fetches.
    """

    escape: str
    bases: list[Base] = field(default_factory=list)
    added: list[Added] = field(default_factory=list)
    _parts: list[_Part] = field(default_factory=list)

    def write(self, ids: Mapping[Base, str]) -> str:
        """Returns the text for the engine.

        Args:
            ids: The id of each image.
        """
        lines = [] if self.escape == "\\" else [f"# escape={self.escape}\n"]
        for part in self._parts:
            text = part if isinstance(part, str) else part[1](ids[part[0]])
            lines.append(written(text, self.escape))
        return "".join(lines)


def read(text: str, args: Mapping[str, str]) -> Dockerfile:
    """Reads a Dockerfile.

    Args:
        text: The Dockerfile.
        args: Build arguments by name; they replace the value of an ``ARG``.

    Raises:
        ExecutionError: It has no ``FROM``, is too long, or something in it is not understood for certain.
    """
    return _Reading(text, args).result()


def check_triggers(base: Base, triggers: Iterable[str]) -> None:
    """Checks the triggers (``ONBUILD``) of an image that a stage begins from: the engine runs them as they are.

    Raises:
        ExecutionError: A trigger would fetch something, or is not understood.
    """
    for text in triggers:
        try:
            if "\n" in text:
                raise ExecutionError("it has more than one line")
            _check_trigger(instruction(text, 1, "\\"), base.stages, "\\", alone=True)
        except ExecutionError as error:
            why = error.message.partition("can't be used: ")[2] or error.message
            raise ExecutionError(
                f"the image '{base.image}' can't be a base here, because of its trigger 'ONBUILD {text[:80]}': {why}"
            ) from None


class _Reading:
    def __init__(self, text: str, args: Mapping[str, str]) -> None:
        self._lines = split(text)
        self._args = args
        self._escape = self._lines.escape
        self._made = Dockerfile(self._escape)
        self._global: dict[str, str] = {}
        self._known: dict[str, str] = {}
        self._stages: set[str] = set()
        self._name = ""
        self._begun = False

    def result(self) -> Dockerfile:
        for each in self._lines.instructions:
            match each.keyword:
                case "FROM":
                    self._from(each)
                case "ARG":
                    self._arg(each)
                case _ if not self._begun:
                    raise ExecutionError(
                        f"the Dockerfile has no FROM before the {each.keyword} in its line {each.line}"
                    )
                case "ENV":
                    for name, value in assignments(each, self._known, self._escape):
                        _set(self._known, name, value)
                    self._plain(each)
                case "COPY":
                    self._copy(each)
                case "ADD":
                    self._add(each)
                case "ONBUILD":
                    inner = instruction(each.rest, each.line, self._escape)
                    _check_trigger(inner, self._stages, self._escape, alone=False)
                    self._parts.append(f"ONBUILD {_text(_local(inner))}")
                case _:
                    self._plain(each)
        if not self._begun:
            raise ExecutionError("the Dockerfile has no FROM")
        return self._made

    @property
    def _parts(self) -> list[_Part]:
        return self._made._parts

    def _plain(self, each: Instruction) -> None:
        self._parts.append(_text(each))

    def _arg(self, each: Instruction) -> None:
        known = self._known if self._begun else self._global
        for name, value in assignments(each, known, self._escape):
            # An ARG of a stage without a value has that of the same name before the first FROM.
            _set(known, name, self._args.get(name, value if value is not None else self._global.get(name)))
        self._plain(each)

    def _need(self, each: Instruction, image: str, platform: str, *, begins: bool) -> Base:
        if not image:
            raise each.refused("it names an image that is not known before the build")
        base = Base(image, platform, begins, frozenset(self._stages))
        for at, known in enumerate(self._made.bases):
            if known == base:
                # Triggers are checked for the first stage that begins from the image, with the fewest stages before it.
                if begins and not known.begins:
                    self._made.bases[at] = base
                return base
        self._made.bases.append(base)
        return base

    def _from(self, each: Instruction) -> None:
        if self._name:
            self._stages.add(self._name)
        self._begun, self._name, self._known = True, "", {}
        words, _ = each.words()
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
            raise each.refused("FROM takes an image, and 'AS' with a name")
        if len(each.flags) > 1 or not all(flag.startswith("--platform=") for flag in each.flags):
            raise each.refused("of the flags, FROM takes --platform=… alone")
        behind = ""
        if len(words) == 3:
            if _STAGE.fullmatch(words[2]) is None:
                raise each.refused("the name of a stage has letters, digits, '_', '.' and '-'")
            self._name = words[2].lower()
            behind = f" AS {words[2]}"
        image = self._filled(each, words[0])
        platform = self._filled(each, each.flags[0].partition("=")[2]) if each.flags else ""
        if image.lower() in self._stages or image == "scratch":
            self._parts.append(f"FROM {image}{behind}")
            return
        flag = f"--platform={platform} " if platform else ""
        if platform and re.fullmatch(r"[A-Za-z0-9_/.-]+", platform) is None:
            raise each.refused("its platform must look like linux/arm64")
        base = self._need(each, image, platform, begins=True)
        self._parts.append((base, lambda id_: f"FROM {flag}{id_}{behind}"))

    def _filled(self, each: Instruction, word: str) -> str:
        try:
            return expanded(word, self._global, self._escape)
        except UnknownVariable:
            raise each.refused(f"'{word[:80]}' is not understood") from None

    def _copy(self, each: Instruction) -> None:
        others, name = _source(each)
        # The name of the present stage is an image's until the stage ends.
        if name is None or _is_stage(name, self._stages):
            self._plain(each)
            return
        base = self._need(each, name, "", begins=False)
        rest = each.rest
        self._parts.append((base, lambda id_: " ".join(["COPY", *others, f"--from={id_}", rest])))

    def _add(self, each: Instruction) -> None:
        _check_add_flags(each)
        words, listed = each.words()
        if len(words) < 2:
            raise each.refused("ADD takes sources and a destination")
        *sources, target = words
        local: list[str] = []
        fetched: list[str] = []
        for source in sources:
            url = self._address(source)
            if url is None:
                local.append(_relative(source))
            else:
                fetched.append(self._fetched(each, url, target, alone=len(sources) == 1))
        if local:
            self._parts.append(_text(_with_words(each, [*local, target], listed)))
        if fetched:
            # A file that was fetched is not unpacked, so it is copied.
            copied = replace(each, keyword="COPY")
            self._parts.append(_text(_with_words(copied, [*fetched, target], listed)))

    def _address(self, source: str) -> str | None:
        """Returns the address that a source is for certain; None for a path."""
        try:
            full = expanded(source, self._known, self._escape, certain=True)
        except UnknownVariable:
            return None
        return full if _ADDRESS.match(full) else None

    def _fetched(self, each: Instruction, url: str, target: str, *, alone: bool) -> str:
        """Returns the place in the context for a file that the worker fetches."""
        if len(self._made.added) == _ADDRESSES:
            raise each.refused(f"a Dockerfile can fetch at most {_ADDRESSES} files")
        try:
            name = unquote(urlsplit(url).path).rpartition("/")[2]
        except ValueError:
            raise each.refused("the address can't be read") from None
        if not name and alone and not target.endswith("/"):
            name = "file"
        if _FILE.fullmatch(name) is None:
            raise each.refused("its address has no usable file name at its end; fetch it in a RUN")
        added = Added(url, f"{ADDED}/{len(self._made.added)}/{name}")
        self._made.added.append(added)
        return added.path


def _set(known: dict[str, str], name: str, value: str | None) -> None:
    if value is None:
        known.pop(name, None)
    else:
        known[name] = value


def _text(each: Instruction) -> str:
    # Only the space of an empty rest: a line must not end with the mark that was before other white space.
    return " ".join([each.keyword, *each.flags, each.rest]).rstrip(" ")


def _with_words(each: Instruction, words: list[str], listed: bool) -> Instruction:
    return replace(each, rest=json.dumps(words) if listed else " ".join(words))


def _source(each: Instruction) -> tuple[list[str], str | None]:
    """Returns the flags of a ``COPY`` without ``--from``, and the value of that one."""
    named = [flag for flag in each.flags if flag.partition("=")[0].lower() == "--from"]
    if not named or named == ["--from="]:
        return list(each.flags), None
    name = named[0].partition("=")[2]
    if len(named) > 1 or not named[0].startswith("--from=") or "$" in name:
        raise each.refused("--from takes the name of one stage or image, without variables")
    return [flag for flag in each.flags if flag not in named], name


def _is_stage(name: str, stages: Iterable[str]) -> bool:
    return _NUMBER.fullmatch(name) is not None or name.lower() in stages


def _check_add_flags(each: Instruction) -> None:
    if any(flag.partition("=")[0].lower() == "--from" for flag in each.flags):
        raise each.refused("ADD takes no --from; COPY does")


def _check_trigger(each: Instruction, stages: Iterable[str], escape: str, *, alone: bool) -> None:
    """Checks an instruction that runs when a later stage begins from this one.

    Args:
        each: The instruction.
        stages: The names of stages that it may copy from.
        escape: The escape character.
        alone: Whether it runs as it is written; otherwise `_local` is applied.
    """
    if each.keyword in ("FROM", "ONBUILD", "MAINTAINER"):
        raise each.refused(f"{each.keyword} can't be a trigger")
    if each.keyword == "COPY":
        _, name = _source(each)
        if name is not None and not _is_stage(name, stages):
            raise each.refused("a trigger can't copy from an image")
    if each.keyword == "ADD":
        _check_add_flags(each)
        for source in each.words()[0][:-1]:
            if _may_be_address(source, escape, exact=not alone):
                raise each.refused("a trigger can't fetch files")


def _may_be_address(source: str, escape: str, *, exact: bool) -> bool:
    """Whether the engine may take a source for an address.

    Args:
        source: The source, with its quotation marks and variables.
        escape: The escape character.
        exact: Whether only one without any variable counts.
    """
    try:
        return _ADDRESS.match(expanded(source, {}, escape, certain=True)) is not None
    except UnknownVariable:
        if exact:
            return False
    begins = re.split(r"[$'\"\\`]", source, maxsplit=1)[0].lower()
    return any(scheme.startswith(begins) or begins.startswith(scheme) for scheme in _SCHEMES)


def _relative(source: str) -> str:
    """Returns a source that is a path whatever its variables are: no address begins with ``./``."""
    return source if source.startswith(("/", ".")) else f"./{source}"


def _local(each: Instruction) -> Instruction:
    """Returns a trigger whose sources are paths."""
    if each.keyword != "ADD":
        return each
    words, listed = each.words()
    return _with_words(each, [*(_relative(source) for source in words[:-1]), *words[-1:]], listed)
