"""Files that a build leaves out, by the rules of .dockerignore."""

from __future__ import annotations

import pytest

from asman_shared.dockerignore import DockerIgnore


@pytest.mark.parametrize(
    ("rules", "dropped", "kept"),
    [
        ("*.log", ["a.log"], ["sub/a.log", "a.txt"]),
        ("**/*.log", ["a.log", "x/y/a.log"], ["a.txt"]),
        ("node_modules", ["node_modules", "node_modules/x/y"], ["sub/node_modules"]),
        ("/a\n", ["a", "a/b"], ["b/a"]),
        ("*\n!keep\nkeep/not", ["x", "keep/not"], ["keep", "keep/x"]),
        ("a?c", ["abc"], ["ac", "a/c"]),
        ("[ab].txt", ["a.txt"], ["c.txt"]),
        ("# comment\n\n", [], ["# comment", "x"]),
        ("a/**/z", ["a/z", "a/b/c/z"], ["z"]),
        ("../x", [], ["x"]),
        ("***\n", ["x"], []),
    ],
)
def test_rules_of_dockerignore(rules: str, dropped: list[str], kept: list[str]) -> None:
    ignore = DockerIgnore(rules)
    assert [name for name in dropped if not ignore.drops(name)] == []
    assert [name for name in kept if ignore.drops(name)] == []
