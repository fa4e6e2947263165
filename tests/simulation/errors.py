"""Errors of the simulation, apart because mypyc can't compile classes of errors."""

from __future__ import annotations


class Cut(ConnectionError):
    """The connection is gone."""


class StuckError(AssertionError):
    """Every task waits, and nothing will ever wake one: a real program would hang here."""
