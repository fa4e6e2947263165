"""The help pages that list commands."""

from __future__ import annotations

from typing import Any

import pytest

from asman.cli import pages
from asman.cli.command_table import TREE, Noun
from asman.cli.tree import command_tree
from tests.unit.client.cli.running import Run


def test_the_pages_of_commands_are_the_same_with_and_without_typer() -> None:
    tree = command_tree()
    for noun in ("", *(name for name, each in TREE.items() if isinstance(each, Noun))):
        words = [noun] if noun else []
        short = pages.asked([*words, "--help"])
        group: Any = tree.commands[noun] if noun else tree
        assert short == pages.page(noun)
        for parameter in group.params:
            assert f"  {parameter.opts[0]} " in short
        for name in group.commands:
            assert f"  {name} " in short
        assert max(map(len, short.splitlines())) <= 80
    assert pages.asked(["run", "--help"]) is None
    assert pages.asked(["job", "list", "-h"]) is None
    assert pages.asked([]) is None


@pytest.mark.parametrize("words", [[], ["--help"], ["run", "-h"], ["job"], ["queue", "--help"], ["--version"]])
async def test_help(run: Run, words: list[str]) -> None:
    ended = await run(*words)
    assert ended.code in (0, 2)
    assert "asman" in ended.out + ended.err
