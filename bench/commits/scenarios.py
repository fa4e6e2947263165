"""The scenarios that two commits can be compared by, each short enough for ten rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final


class Unusable(Exception):
    """The comparison can't be made; the sentence says why."""


@dataclass(frozen=True)
class Scenario:
    """One scenario of the bench, made short.

    Attributes:
        name: As in ``python -m bench NAME``.
        module: The module of the bench that has its ``arguments`` and ``run``.
        arguments: What it is given in one round.
        quick: What it is given instead where only the comparison itself is tried.
        own_code: Whether each side runs its own bench, because the scenario imports modules of the hub.
        constants: Numbers of the bench's modules that are set first. They make a scenario short at commits where no
            argument does; a side without such a constant is measured all the same, and the report says so.
    """

    name: str
    module: str
    arguments: Sequence[str]
    quick: Sequence[str]
    own_code: bool = False
    constants: Mapping[str, int] = field(default_factory=dict)


_ALL: Final = (
    Scenario(
        "throughput",
        "bench.throughput",
        ("--peers", "none", "--rounds", "2", "--jobs", "40000", "--seconds", "2"),
        ("--peers", "none", "--rounds", "1", "--jobs", "50", "--seconds", "0.2"),
    ),
    Scenario(
        "depth",
        "bench.depth",
        ("--jobs", "10000"),
        ("--jobs", "100"),
        own_code=True,
        constants={
            "bench.depth.RUNS": 1,
            "bench.depth_hub.RESTARTS": 1,
            "bench.depth_hub.ROUNDS": 5,
        },
    ),
    Scenario(
        "latency",
        "bench.latency",
        ("--peers", "none", "--rounds", "1", "--seconds", "1"),
        ("--peers", "none", "--rounds", "1", "--seconds", "0.1"),
    ),
    Scenario(
        "fanout",
        "bench.fanout",
        ("--peers", "--rounds", "1", "--sends", "50000", "--subscribers", "100", "1000"),
        ("--peers", "--rounds", "1", "--sends", "10", "--subscribers", "2"),
    ),
    Scenario(
        "connections",
        "bench.connections",
        (
            *("--rounds", "1", "--connections", "1000", "--kinds"),
            *("asman, client", "asman, client that watches its queue", "asman, worker"),
        ),
        ("--rounds", "1", "--connections", "5", "--kinds", "asman, worker"),
    ),
    Scenario(
        "startup",
        "bench.client_start",
        ("--turns", "5"),
        ("--turns", "1"),
    ),
    Scenario(
        "slowreader",
        "bench.slowreader",
        ("--rounds", "2", "--subscribers", "500", "--changes", "15", "--no-overrun"),
        ("--rounds", "1", "--subscribers", "3", "--changes", "2", "--no-overrun"),
    ),
    Scenario(
        "dialect",
        "bench.dialect",
        ("--jobs", "2000", "--seconds", "2"),
        ("--jobs", "10", "--clients", "1", "--seconds", "0.2"),
        own_code=True,
    ),
    Scenario(
        "logs",
        "bench.logs",
        ("--lines", "100000"),
        ("--lines", "1000"),
        own_code=True,
    ),
    Scenario(
        "blobs",
        "bench.blobs",
        ("--size", "256MiB", "--store", "folder"),
        ("--size", "1MiB", "--store", "folder"),
    ),
)
SCENARIOS: Final = {scenario.name: scenario for scenario in _ALL}
USUAL: Final = ("throughput", "depth", "latency", "fanout", "connections")
"""Compared where none is named."""


def chosen(names: Sequence[str]) -> list[Scenario]:
    """Returns the named scenarios in their order, each once; the usual ones where none is named.

    Raises:
        Unusable: A name is not in the list.
    """
    for name in names:
        if name not in SCENARIOS:
            raise Unusable(f"commits can't be compared by '{name}'; they can by {', '.join(SCENARIOS)}")
    return [SCENARIOS[name] for name in dict.fromkeys(names or USUAL)]
