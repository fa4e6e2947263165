"""The tree of commands: complete, and loaded one command at a time."""

from __future__ import annotations

from importlib import import_module

import pytest

from asman.cli.command_table import TREE, Command, Noun
from asman.cli.main import main
from asman.cli.tree import command_tree

COMMANDS = [
    (f"{name} {each}".strip(), command)
    for name, found in TREE.items()
    for each, command in (found.commands.items() if isinstance(found, Noun) else [("", found)])
]


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_every_command_of_the_table_is_a_function_with_a_help_text(name: str, command: Command) -> None:
    function = getattr(import_module(f"asman.cli.commands.{command.module}"), command.function)
    assert function.__doc__
    assert command.says.endswith(".")


def test_the_tree_has_the_commands_of_the_table_in_their_order() -> None:
    tree = command_tree()
    assert list(tree.commands) == list(TREE)
    for name, found in TREE.items():
        if isinstance(found, Noun):
            noun = tree.commands[name]
            assert list(noun.commands) == list(found.commands)  # type: ignore[attr-defined]


def test_a_command_is_loaded_when_it_is_asked_for_and_once() -> None:
    commands = command_tree().commands
    assert len(commands) == len(TREE)
    made = commands["schema"]
    assert commands["schema"] is made
    assert made.name == "schema"
    with pytest.raises(KeyError):
        commands["sing"]


def test_commands_can_be_replaced_and_taken_out() -> None:
    commands = command_tree().commands
    commands["schema"] = commands["doctor"]
    assert commands["schema"] is commands["doctor"]
    del commands["schema"]
    assert "schema" not in commands


@pytest.mark.parametrize(
    "words",
    [
        ["hub", "--data-dir", ""],
        ["hub", "--config="],
        ["up", "--data-dir="],
        ["worker", "http://localhost:1/q/x", "--data-directory", ""],
        ["worker", "http://localhost:1/q/x", "--secrets="],
        ["run", "--output=", "true"],
    ],
)
def test_an_empty_path_is_not_taken_for_the_current_folder(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "give a path, not an empty text" in capsys.readouterr().err
