"""Runs an ``asman`` command to its end, or until it is killed (SIGKILL) when it calls a function for the nth time.

The commands are forked (`devtools.fork_server`), so that they cost no start of an interpreter.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from functools import reduce
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from devtools.asman_processes import AsmanProcess


class Ended(NamedTuple):
    """The exit code of a command, and all that it printed; with ``--quiet`` that is its result."""

    code: int
    said: str


def forked(*words: str, environment: Mapping[str, str] | None = None) -> Ended:
    """Runs a command to its end."""
    with tempfile.TemporaryDirectory() as folder:
        process = AsmanProcess(words[0], words, Path(folder, "log"), environment)
        process.start()
        return Ended(process.wait(), process.output())


def killed_at(
    function: str, text: str, *words: str, number: int = 1, environment: Mapping[str, str] | None = None
) -> None:
    """Runs a command, which must be killed on the way.

    Args:
        function: The function, as ``module:name``.
        text: Only calls with this text in one of their arguments count.
        *words: The command.
        number: The call at which it is killed.
        environment: More of its environment.
    """
    ended = forked("-m", "tests.support.killed_at", function, text, str(number), *words, environment=environment)
    assert ended.code == -signal.SIGKILL, (function, text, ended)


def _plant(function: str, text: str, number: int) -> None:
    module, _, path = function.partition(":")
    *owners, name = path.split(".")
    owner = reduce(getattr, owners, import_module(module))
    original = getattr(owner, name)
    calls = count(1)

    def planted(*arguments: Any, **more: Any) -> Any:
        if any(text in str(each) for each in (*arguments, *more.values())) and next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **more)

    setattr(owner, name, planted)


if __name__ == "__main__":
    _plant(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    from asman.cli.main import main

    main(sys.argv[4:])
