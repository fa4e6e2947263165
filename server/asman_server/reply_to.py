"""The recipient of an answer."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from asman_shared.errors import AsmanError
from asman_shared.messages import Error, Message


class ReplyTo(Struct):
    """The recipient of an answer: it gets a message, or the error instead.

    The collector has to see it: a session whose answer waits for a commit is in a cycle with the committer.
    """

    ref: int
    say: Callable[[Message], None]

    def refuse(self, error: AsmanError) -> None:
        """Answers with an error."""
        self.say(Error.of(error, self.ref))
