r"""The patterns that logs are searched for, in an engine that no pattern can stall.

Patterns come from strangers and run inside the hub. Python's own engine backtracks: ``(a+)+$`` takes it longer than
anybody waits, and holds the interpreter meanwhile. RE2 matches in time that is linear in the text and in the size of
the pattern's program, whatever both are; the size is bounded here, the length of a line in `asman_shared.limits`, and
RE2 lets the event loop go on while it matches in a thread. What it gives up for that (look-around, references back)
is refused with a sentence.
"""

from __future__ import annotations

from typing import Any, Final

import re2

from asman_shared.errors import BadRequest
from asman_shared.units import MIB

PROGRAM_STEPS: Final = 5000
"""Largest program that a pattern may become; a simple one has about a step for each of its characters."""
PROGRAM_MEMORY: Final = 4 * MIB
"""Bytes that one pattern may use, the automaton included that it builds while it matches."""


class Pattern:
    """Something to look for in lines.

    Args:
        text: In RE2's syntax.
        ignore_case: Upper and lower case are the same.

    Raises:
        BadRequest: It can't be read, or is too large.
    """

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        options = re2.Options()
        options.max_mem = PROGRAM_MEMORY
        options.log_errors = False
        options.never_capture = True
        options.case_sensitive = not ignore_case
        try:
            compiled: Any = re2.compile(text, options)
        except re2.error as error:
            said = error.args[0] if error.args else "it is not one"
            said = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
            raise BadRequest(
                f"the pattern can't be used: {said} (RE2 syntax; plain text goes between \\Q and \\E)", field="grep"
            ) from None
        except UnicodeEncodeError:
            raise BadRequest("the pattern has half a character that no text can have", field="grep") from None
        size = max(compiled.programsize, compiled.reverseprogramsize)
        if size > PROGRAM_STEPS:
            raise BadRequest(
                f"the pattern is too large: it takes {size} steps and may take {PROGRAM_STEPS}; repeat less in it",
                field="grep",
            )
        self._search = compiled.search

    def found(self, text: str) -> bool:
        """Whether a line has it."""
        return self._search(text) is not None
