"""The commands as a tree for typer, which imports only the command that is called."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, MutableMapping
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.models import TyperPath

from . import pages
from .command_table import ABOUT, TREE, Command, Noun

_SETTINGS: Final = {"help_option_names": list(pages.HELP_WORDS), "max_content_width": 100}
"""Settings of typer for all commands."""

_NUMBERS: Final = dict.fromkeys(("int range", "integer range", "int", "integer"), "a whole number") | dict.fromkeys(
    ("float range", "float"), "a number"
)
"""Words for numbers, by typer's names for their types."""


class _Loaded(MutableMapping[str, Any]):
    """Commands by name, loaded from their modules at first use."""

    def __init__(self, commands: dict[str, Any]) -> None:
        self._commands = commands
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            found = self._commands[name]
            self._made[name] = _noun(name, found) if isinstance(found, Noun) else _command(name, found)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._commands[name] = self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]
        self._made.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)


class _Group(TyperGroup):
    """A group of commands whose help page is made from the table."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help page."""
        formatter.write(pages.page("" if ctx.parent is None else str(self.name)))


def command_tree() -> TyperGroup:
    """Makes the tree of all commands."""
    app = typer.Typer(
        name="asman",
        cls=_Group,
        help=ABOUT,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_SETTINGS,
    )
    app.callback()(_options)
    return _group(app, dict(TREE))


def _noun(name: str, noun: Noun) -> TyperGroup:
    app = typer.Typer(
        name=name, cls=_Group, help=noun.says, no_args_is_help=True, rich_markup_mode=None, add_completion=False
    )
    app.callback()(_nothing)
    return _group(app, dict(noun.commands))


def _group(app: typer.Typer, commands: dict[str, Any]) -> TyperGroup:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)  # noqa: S101 - an app with a callback is one
    group.commands = _Loaded(commands)
    return group


def _command(name: str, command: Command) -> Any:
    function = getattr(import_module(f"asman.cli.commands.{command.module}"), command.function)
    if "logging" in sys.modules:  # a command that needs nothing that logs starts faster without it
        from asman_shared.terminal.log_format import make_last_resort_safe

        make_last_resort_safe()
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name)(function)
    made = typer.main.get_command(app)
    for parameter in made.params:
        if isinstance(parameter.type, TyperPath):
            parameter.type.convert = _not_empty(parameter.type.convert)  # type: ignore[method-assign]
        elif words := _NUMBERS.get(parameter.type.name):
            parameter.type.convert = _number(parameter.type.convert, words)  # type: ignore[method-assign]
    if name == "run":
        made.parse_args = _dash_named(made.parse_args)  # type: ignore[method-assign]
    return made


def _number(convert: Callable[..., Any], words: str) -> Callable[..., Any]:
    """Returns the conversion of a number that says in words what is wanted."""

    def checked(value: Any, parameter: Any, context: Any) -> Any:
        try:
            return convert(value, parameter, context)
        except typer.BadParameter as error:
            if "is not a valid" not in error.message:  # it is a number, out of its range
                raise
            raise typer.BadParameter(f"'{value}' is not {words}", ctx=context, param=parameter) from None

    return checked


def _dash_named(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the parser of ``asman run`` that names ``--`` where an unknown option may be one of the job's command."""

    def parsed(context: Any, words: list[str]) -> Any:
        try:
            return parse(context, words)
        except Exception as error:
            if type(error).__name__ == "NoSuchOption" and context.obj is None:
                error.message += (  # type: ignore[attr-defined]
                    " (options of the job's own command stand behind '--': asman run -i alpine -- sh -c 'echo hello')"
                )
            raise

    return parsed


def _not_empty(convert: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the conversion of a path that refuses an empty text, which would mean the current folder."""

    def checked(value: Any, parameter: Any, context: Any) -> Any:
        if value == "":
            raise typer.BadParameter("give a path, not an empty text", ctx=context, param=parameter)
        return convert(value, parameter, context)

    return checked


def _version(wanted: bool) -> None:
    if wanted:
        from asman import __version__

        typer.echo(f"asman {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help=pages.VERSION_SAYS)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=pages.DEBUG_SAYS)] = False,
) -> None:
    """Declares the options of ``asman`` itself; `main` removes ``--debug`` before parsing."""


def _nothing() -> None:
    """Does nothing, as a noun alone is not a command."""
