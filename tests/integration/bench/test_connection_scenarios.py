"""The scenarios about connections run to their end, small; what they measure here means nothing."""

from __future__ import annotations

import argparse

from bench import connections, fanout, growth, slowreader
from bench.measure import Report


def figures(report: Report) -> dict[str, list[float]]:
    return {figure.name: figure.values for figure in report.figures}


def test_fan_out() -> None:
    wanted = argparse.Namespace(subscribers=[2, 3], rounds=1, sends=10, peers=["websockets"])
    found = figures(fanout.run(wanted))
    for size in (2, 3):
        assert found[f"{size} subscribers: asman, in a row"][0] > 0
        assert found[f"{size} subscribers: asman / websockets, in a row"][0] > 0
        assert found[f"{size} subscribers: websockets, last subscriber has it after"][0] > 0


def test_connections() -> None:
    kinds = ["asman, client that watches its queue", "asman, worker"]
    found = figures(connections.run(argparse.Namespace(connections=5, rounds=1, kinds=kinds)))
    for kind in kinds:
        assert found[f"{kind}: accepted"][0] > 0
        assert f"{kind}: memory of one" in found


def test_a_slow_reader() -> None:
    found = figures(slowreader.run(argparse.Namespace(subscribers=3, rounds=1, changes=2, overrun=False)))
    assert found["last reader's delay, with one that never reads / without"][0] > 0


def test_growth() -> None:
    found = figures(growth.run(argparse.Namespace(jobs=30, rounds=1, shapes=["10 workers"])))
    assert found["10 workers / one of each: throughput"][0] > 0
    assert found["one of each: throughput"][0] > 0
