"""The scenarios that measure Asman beside others, tiny and with Asman alone: real hub, client and worker processes."""

from __future__ import annotations

import argparse
import asyncio

from bench import latency, throughput
from bench.measure import Report


async def _run(scenario: str, **wanted: object) -> Report:
    module = {"throughput": throughput, "latency": latency}[scenario]
    parser = argparse.ArgumentParser()
    module.arguments(parser)
    chosen = parser.parse_args([f"--{name}={value}" for name, value in wanted.items()])
    return await asyncio.to_thread(module.run, chosen)


async def test_throughput_counts_the_jobs_of_frames_and_of_the_library() -> None:
    report = await _run("throughput", peers="none", rounds=1, jobs=150, seconds=1)
    [compared] = report.comparisons
    assert [row.name for row in compared.rows] == ["Asman, frames", "Asman, library"]
    for row in compared.rows:
        assert not row.missing
        assert len(row.known("jobs")) == len(row.known("processor time")) == 1
        assert row.known("jobs")[0] > 0
        assert "SQLite" in row.version
    compared.settle()
    assert len(compared.ratios["Asman, library"]["Asman, frames"]["jobs"]) == 1


async def test_latency_has_starts_before_results_and_answers_from_the_cache() -> None:
    report = await _run("latency", peers="none", rounds=1, seconds=0.1)
    assert [compared.title for compared in report.comparisons] == ["one at a time", "at half of the throughput"]
    for compared in report.comparisons:
        for row in compared.rows:
            assert not row.missing
            for share in ("p50", "p99", "p99.9"):
                [start], [result] = row.known(f"start {share}"), row.known(f"result {share}")
                assert 0 < start < result
    assert len(report.figures) == 2
    assert all(figure.median > 0 for figure in report.figures)
