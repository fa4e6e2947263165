"""Workers of one machine that offer the same memory twice say so."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from pathlib import Path

import pytest

from asman_shared.units import GIB
from asman_worker import doctor, neighbours
from asman_worker.neighbours import Neighbours, Offer, machine, offers, twice

HAS = Offer(0, 24 * GIB, 8000, 2)


def offer(memory: int = 8, cpus: int = 2, gpus: int = 0, pid: int = 1) -> Offer:
    return Offer(pid, memory * GIB, cpus * 1000, gpus)


@pytest.mark.parametrize(
    ("offered", "said"),
    [
        ([], ""),
        ([offer(48)], ""),  # what one worker offers is its operator's own choice
        ([offer(12), offer(12)], ""),
        ([offer(24), offer(24), offer(24)], "3 workers on this machine offer 72 GiB of memory, and it has 24 GiB"),
        (
            [offer(24, 8), offer(12, 8)],
            "2 workers on this machine offer 36 GiB of memory and 16 cpus, and it has 24 GiB and 8 cpus",
        ),
        ([offer(gpus=2), offer(gpus=2)], "2 workers on this machine offer 4 gpus, and it has 2 gpus"),
        ([offer(0), offer(0)], ""),
    ],
)
def test_what_workers_offer_beyond_what_there_is_is_said(offered: list[Offer], said: str) -> None:
    assert twice(offered, HAS) == said


def own() -> Offer:
    """An offer that no other worker of this machine has."""
    return Offer(os.getpid(), machine().memory, 1000 + secrets.randbelow(10**8), 0, os.geteuid())


def test_a_worker_is_seen_by_others_as_long_as_it_lives() -> None:
    mine = own()
    with Neighbours(mine).announced():
        assert mine in offers()
    assert mine not in offers()


def test_names_that_strangers_take_are_no_offers(tmp_path: Path) -> None:
    sockets = tmp_path / "unix"
    names = [
        "@asman-worker/1/x",
        "@asman-worker/1/1/2/3/4/zz",
        "@other",
        "/run/a b",
        "@asman-worker/1/7/8/9/1/" + "a" * 16,
        f"@asman-worker/2/{os.geteuid()}/5/6/7/0/" + "b" * 16,
        f"@asman-worker/2/{os.geteuid() + 1}/5/6/7/0/" + "c" * 16,
    ]
    sockets.write_text("".join(f"00000000: 00000002 00000000 00000000 0002 01 1 {name}\n" for name in names))
    assert offers(sockets) == [Offer(7, 8, 9, 1), Offer(5, 6, 7, 0, os.geteuid())], "those of other users don't count"
    assert offers(tmp_path / "missing") == []


async def test_a_problem_is_logged_once_and_told_when_it_comes_and_goes(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "machine", lambda: HAS)
    monkeypatch.setattr(neighbours, "LOOK_SECONDS", 0)
    mine, other = offer(24), offer(24, pid=77)
    views = iter([[mine], *[[mine, other]] * 6, *[[mine, other, other]] * 6])
    told: list[str] = []
    done = asyncio.Event()

    def tell(problem: str) -> None:
        told.append(problem)
        if not problem:
            done.set()

    own_view = Neighbours(mine, lambda: next(views, [mine]))
    assert own_view.look() == ""
    with caplog.at_level(logging.INFO, "asman.worker.neighbours"):
        watching = asyncio.create_task(own_view.watch(tell))
        await done.wait()
        watching.cancel()
    assert told == ["2 workers on this machine offer 48 GiB of memory, and it has 24 GiB", ""]
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == 1
    assert "jobs may run out of them; give each worker its part with --memory" in warned[0]
    assert "(other workers: process 77)" in warned[0]


def test_doctor_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "machine", lambda: HAS)
    monkeypatch.setattr(doctor, "offers", lambda: [offer(24), offer(24)])
    found = doctor._neighbours()
    assert (found.mark, found.says) == (
        "warning",
        "2 workers on this machine offer 48 GiB of memory, and it has 24 GiB",
    )
    assert "--memory" in found.remedy
    monkeypatch.setattr(doctor, "offers", lambda: [offer(8)])
    assert doctor._neighbours().says == "1 worker runs on this machine, with 8 GiB of its 24 GiB"
    monkeypatch.setattr(doctor, "offers", list)
    assert doctor._neighbours().mark == "ok"
