"""Errors of the simulation, in their own module because mypyc can't compile classes of errors."""

from __future__ import annotations


class Cut(ConnectionError):
    """Raised when the connection is gone."""


class StuckError(AssertionError):
    """Raised when every task waits and nothing can wake one; a real program would hang here."""


class TaskLostError(Exception):
    """Raised in one of the hub's own tasks that is to fail."""
