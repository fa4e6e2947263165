"""The command ``asman``: runs a command line and reports its errors."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from . import exits, pages, terminal

DEBUG_VARIABLE = "ASMAN_DEBUG"
"""Environment variable with the effect of ``--debug``."""
_SHOWN = 40
"""Number of characters of a mistyped name that are shown."""


def main(argv: list[str] | None = None) -> NoReturn:
    """Runs a command line and exits; see `asman.cli.exits` for the codes.

    Args:
        argv: The words after ``asman``; by default, those of this process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    before, command = _split(words)
    debug = "--debug" in before or bool(os.environ.get(DEBUG_VARIABLE))
    terminal.plain()
    try:
        if (page := pages.asked(words)) is not None:
            terminal.page(page)
            raise SystemExit(exits.OK)
        _tell_mistyped()
        code = _run([word for word in before if word != "--debug"], command)
    except SystemExit:
        raise
    except KeyboardInterrupt:
        code = exits.CANCELLED
    except terminal.OutputClosedError:
        code = _close_output()
    except Exception as error:
        if debug:
            raise
        code = _report(error)
    raise SystemExit(code)


def _tell_mistyped() -> None:
    """Warns of environment variables that nearly have a name of Asman's, because they are without effect."""
    if not any(name.upper().startswith("ASMAN_") for name in os.environ):
        return
    from ..address import mistyped

    for name, meant in mistyped():
        sys.stderr.write(f"warning: the environment variable {name[:_SHOWN]} has no effect; did you mean {meant}?\n")


def _split(words: list[str]) -> tuple[list[str], list[str] | None]:
    """Splits the words of ``asman run`` at ``--`` into those before it and the command (None without ``--``)."""
    if "--" not in words:
        return words, None
    at = words.index("--")
    if "run" not in words[:at]:
        return words, None
    return words[:at], words[at + 1 :]


def _run(words: list[str], command: list[str] | None) -> int:
    from .tree import command_tree  # typer is slow to import

    result = command_tree().main(args=words, prog_name="asman", obj=command)
    return result if isinstance(result, int) else exits.OK


def _close_output() -> int:
    """Redirects standard output, so that the interpreter does not report the closed pipe again at exit."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    return exits.BROKEN_PIPE


def _report(error: Exception) -> int:
    """Prints an error as a sentence, with a hint if a remedy is known; returns the exit code."""
    from asman_shared.errors import AsmanError
    from asman_shared.terminal import safe_text

    if isinstance(error, AsmanError):
        sentence, hint, code = error.message, getattr(error, "hint", "") or _hint(error), exits.of_error(error)
    elif isinstance(error, OSError):
        where = f"'{error.filename}' can't be used: " if error.filename else ""
        sentence, hint, code = f"{where}{error.strerror or error}", _hint(error), exits.NOT_RUN
    else:
        sentence = f"a bug in asman: {type(error).__name__}: {error}"
        hint, code = "run the command again with --debug, and report its output", exits.NOT_RUN
    sys.stderr.write(f"error: {safe_text.sentence(sentence)}\n")
    if hint:
        sys.stderr.write(f"hint: {safe_text.sentence(hint)}\n")
    sys.stderr.flush()
    return code


def _hint(error: Exception) -> str:
    from asman_shared.errors import BadUnit, ConnectionFailed, Overloaded

    match error:
        case ConnectionFailed() if "nothing listens" in error.message:
            return "start one with 'asman up', or check the host and port in the queue's URL"
        case BadUnit():
            return "write durations like 90s or 20m, and sizes like 512MiB or 2g"
        case PermissionError() if error.filename:
            return "choose another path, or ask its owner for permission to read and write there"
        case Overloaded():
            return "try again in a moment"
        case _:
            return ""


if __name__ == "__main__":
    main()
