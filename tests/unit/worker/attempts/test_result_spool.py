"""A result survives whatever happens to its worker."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asman_shared.definition import Definition
from asman_shared.messages import Assign, LogLine, Outcome
from asman_worker.attempts import result_spool as module
from asman_worker.attempts.result_spool import Spool
from devtools.fake_hub import job


def outcome(code: int) -> Outcome:
    return Outcome("exited", code)


async def end(spool: Spool, name: str, code: int = 0, lines: list[LogLine] | None = None) -> None:
    """Notes an end, and waits until it is durable."""
    done = asyncio.Event()
    spool.ended((job(name), 1), outcome(code), lines or [], done.set)
    await done.wait()


async def test_a_result_is_on_disk_before_it_is_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    lines = [LogLine(3, 0, 1, "last words")]
    await end(spool, "a", 7, lines)
    # Another process, as after a kill: the first is not closed.
    (found,) = Spool(tmp_path / "spool").kept.items()
    assert found[0] == (job("a"), 1)
    assert (found[1].outcome, found[1].lines) == (outcome(7), lines)
    await spool.close()


async def test_an_attempt_that_began_can_be_gone_on_with(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assign = Assign(job("a"), 2, Definition(image="i", command=["x"]), 5, 6)
    spool.began(assign, 77)
    await spool.close()
    again = Spool(tmp_path / "spool")
    kept = again.kept[job("a"), 2]
    assert (kept.assign, kept.started, kept.outcome) == (assign, 77, None)
    await again.close()


async def test_what_is_acknowledged_is_forgotten(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    await end(spool, "a")
    await end(spool, "b")
    spool.forget((job("a"), 1))
    spool.forget((job("never"), 1))
    await spool.close()
    again = Spool(tmp_path / "spool")
    assert list(again.kept) == [(job("b"), 1)]
    await again.close()


async def test_a_torn_tail_is_cut_off_and_writing_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)
    await end(spool, "a", 1)
    whole = path.stat().st_size
    await end(spool, "b", 2)
    await spool.close()
    os.truncate(path, path.stat().st_size - 3)
    again = Spool(path)
    assert list(again.kept) == [(job("a"), 1)]
    assert path.stat().st_size == whole
    await end(again, "c", 3)
    await again.close()
    last = Spool(path)
    assert list(last.kept) == [(job("a"), 1), (job("c"), 1)]
    await last.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(cut=st.integers(0, 400), junk=st.binary(max_size=40))
async def test_a_crash_at_any_byte_keeps_all_that_was_durable_before_it(tmp_path: Path, cut: int, junk: bytes) -> None:
    path = tmp_path / "spool"
    path.unlink(missing_ok=True)
    spool = Spool(path)
    sizes = []
    for number in range(4):
        await end(spool, str(number), number)
        sizes.append(path.stat().st_size)
    await spool.close()
    data = path.read_bytes()
    cut = min(cut, len(data))
    path.write_bytes(data[:cut] + junk)
    again = Spool(path)
    expected = [(job(str(number)), 1) for number, size in enumerate(sizes) if size <= cut]
    if cut < len(data):
        assert list(again.kept)[: len(expected)] == expected
        assert set(again.kept) <= {(job(str(number)), 1) for number in range(4)}
    await again.close()


async def test_many_results_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = 0
    real = os.fdatasync

    def counted(file: int) -> None:
        nonlocal syncs
        syncs += 1
        real(file)

    monkeypatch.setattr(os, "fdatasync", counted)
    spool = Spool(tmp_path / "spool")
    await asyncio.gather(*(end(spool, str(number)) for number in range(1000)))
    await spool.close()
    assert 1 <= syncs <= 3


async def test_a_long_spool_is_rewritten_without_forgotten_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REWRITE_BYTES", 20_000)
    path = tmp_path / "spool"
    spool = Spool(path)
    await end(spool, "stays", 5)
    for number in range(500):
        await end(spool, str(number))
        spool.forget((job(str(number)), 1))
    await spool.close()
    assert path.stat().st_size < 45_000
    again = Spool(path)
    assert [(key, kept.outcome) for key, kept in again.kept.items()] == [((job("stays"), 1), outcome(5))]
    await again.close()


async def test_a_full_disk_does_not_hold_a_result_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool")

    def full(file: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write_all", full)
    await end(spool, "a")
    assert "No space" in spool.broken
    monkeypatch.undo()
    await end(spool, "b")
    assert spool.broken == ""
    await spool.close()


async def test_what_is_written_after_a_full_disk_is_not_hidden_behind_half_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)

    def full(file: int, data: bytes) -> None:
        os.write(file, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write_all", full)
    await end(spool, "a")
    monkeypatch.undo()
    await end(spool, "b")
    await spool.close()
    again = Spool(path)
    assert list(again.kept) == [(job("a"), 1), (job("b"), 1)]
    await again.close()
