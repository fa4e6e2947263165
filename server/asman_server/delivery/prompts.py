"""Answers that are at hand: a request for one of them needs neither a task nor a route."""

from __future__ import annotations


class Prompts:
    """Answers to no request; a door that is polled makes a class of this that answers polls."""

    def answer(self, path: str, query: bytes) -> tuple[bytes, bytes] | None:
        """Answers a GET without a body, exactly as its route does, if that takes no wait.

        Args:
            path: The path, without escapes.
            query: The query as it came.

        Returns:
            The lines of the headers and the body of an answer with status 200; None if the request takes the way of all
            others, such as every request that is refused.
        """
        del path, query
        return None
