"""A command becomes argv by one rule."""

from __future__ import annotations

import pytest

from asman_shared.errors import BadDefinition
from asman_worker.execution.command import argv

ENV = {"NAME": "two words", "N": "5"}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo hello", ["echo", "hello"]),
        ("  echo   hello\n", ["echo", "hello"]),
        ('sh -c "cat /inputs/README.md > /outputs/x"', ["sh", "-c", "cat /inputs/README.md > /outputs/x"]),
        ("sh -c 'ls && cat $NAME'", ["sh", "-c", "ls && cat $NAME"]),
        ("echo 'a | b' \"c ; d\"", ["echo", "a | b", "c ; d"]),
        ("echo $NAME ${N}x", ["echo", "two words", "5x"]),
        ('echo "$NAME and ${N}"', ["echo", "two words and 5"]),
        ("echo '$NAME' \\$NAME", ["echo", "$NAME", "$NAME"]),
        ("echo $UNKNOWN end", ["echo", "$UNKNOWN", "end"]),
        ("echo \"$UNKNOWN\" ''", ["echo", "$UNKNOWN", ""]),
        ("price 5$ a$/b", ["price", "5$", "a$/b"]),
        ("awk {print} a#b x~y {}", ["awk", "{print}", "a#b", "x~y", "{}"]),
        ('say a\\ b "c\\"d\\e"', ["say", "a b", 'c"d\\e']),
        ("env A=1 prog --x=y", ["env", "A=1", "prog", "--x=y"]),
        ("a'b c'd", ["ab cd"]),
    ],
)
def test_a_string_without_shell_grammar_is_split(command: str, words: list[str]) -> None:
    assert argv(command, ENV) == words


@pytest.mark.parametrize(
    "command",
    [
        "ls && cat x",
        "a | b",
        "a ; b",
        "cat a > b",
        "cat < b",
        "ls *.txt",
        "ls ?",
        "ls [ab]",
        "echo `id`",
        'echo "`id`"',
        "echo $(id)",
        'echo "$(id)"',
        "echo $((1 + 2))",
        "echo ${N:-1}",
        "echo $1 $@",
        "sleep 1 &",
        "(cd x)",
        "a\nb",
        "cd ~/x",
        "# only a comment",
        "A=1 prog",
        "! true",
    ],
)
def test_a_string_with_shell_grammar_runs_by_a_shell(command: str) -> None:
    assert argv(command, ENV) == ["/bin/sh", "-c", command]


def test_a_list_is_argv_untouched() -> None:
    assert argv(["echo", "$NAME", "a && b", ""], ENV) == ["echo", "$NAME", "a && b", ""]


@pytest.mark.parametrize("command", [None, "", "  \n"])
def test_no_command_leaves_the_images_own(command: str | None) -> None:
    assert argv(command, ENV) is None


@pytest.mark.parametrize("command", ["echo 'a", 'echo "a', "echo a\\"])
def test_an_open_quote_is_refused(command: str) -> None:
    with pytest.raises(BadDefinition):
        argv(command, ENV)
