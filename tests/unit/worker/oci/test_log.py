"""The output that a monitor keeps, read by a worker."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from asman_shared.messages import STDERR, STDOUT
from asman_shared.states import Phase
from asman_worker.oci.container import Container
from asman_worker.oci.log import ContainerLog
from asman_worker.oci.programs import monitor
from asman_worker.oci.programs.output import CHUNK, HEADER, Log


class Reporter:
    """Notes what is reported."""

    def __init__(self) -> None:
        self.output_of: dict[int, bytes] = {STDOUT: b"", STDERR: b""}
        self.said: list[str] = []
        self.first = 0
        self.sent = 10**9

    def phase(self, phase: Phase, done: int = 0, total: int = 0, unit: str = "") -> None:
        raise AssertionError

    def output(self, stream: int, chunk: bytes, when: int | None = None) -> None:
        assert when is not None
        self.output_of[stream] += chunk

    def say(self, text: str) -> None:
        self.said.append(text)

    def close_streams(self) -> None:
        raise AssertionError

    async def room(self) -> None:
        await asyncio.sleep(0)

    def start_at(self, seq: int) -> None:
        self.first = seq

    @property
    def clean(self) -> bool:
        return True

    @property
    def next_line(self) -> int:
        return self.first + sum(each.count(b"\n") for each in self.output_of.values())

    @property
    def sent_line(self) -> int:
        return self.sent


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A container's folder, which is the present one as for a monitor."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


async def read(folder: Path, reporter: Reporter, checkpoint: Path, *, again: bool = False) -> None:
    container = Container(folder)
    lines = ContainerLog(container, reporter, checkpoint)
    if again:
        lines.load()
    else:
        lines.begin()
    await lines.follow()


async def test_both_streams_are_read_to_their_end(folder: Path, tmp_path: Path) -> None:
    kept = Log(10**6)
    kept.add(1, b"one\n")
    kept.add(2, b"err\n")
    kept.add(1, b"two")
    monitor.write("exit.json", {"code": 0})
    reporter = Reporter()
    await read(folder, reporter, tmp_path / "checkpoint")
    assert reporter.output_of == {STDOUT: b"one\ntwo", STDERR: b"err\n"}


async def test_what_comes_later_is_read_as_it_comes(folder: Path, tmp_path: Path) -> None:
    kept = Log(10**6)
    container, reporter = Container(folder), Reporter()
    lines = ContainerLog(container, reporter, tmp_path / "checkpoint")
    reading = asyncio.create_task(lines.follow())
    for number in range(20):
        kept.add(1, f"{number}\n".encode())
        container._tell()
        await asyncio.sleep(0)
    monitor.write("exit.json", {"code": 0})
    container._tell()
    await reading
    assert reporter.output_of[STDOUT] == b"".join(f"{number}\n".encode() for number in range(20))


async def test_half_a_record_waits_for_its_rest(folder: Path, tmp_path: Path) -> None:
    kept = Log(10**6)
    kept.add(1, b"whole\n")
    record = HEADER.pack(1, 5, 10) + b"half"
    half = folder / "log.0"
    half.write_bytes(half.read_bytes() + record)
    monitor.write("exit.json", {"code": 0})
    reporter = Reporter()
    await read(folder, reporter, tmp_path / "checkpoint")
    assert reporter.output_of[STDOUT] == b"whole\n"


async def test_of_more_than_is_kept_the_newest_is_read_and_the_loss_is_told(folder: Path, tmp_path: Path) -> None:
    most = 4 * CHUNK
    kept = Log(most)
    line = b"x" * 1023 + b"\n"
    for _ in range(3 * most // len(line)):
        kept.add(1, line)
    kept.add(1, b"last\n")
    files = sorted(folder.glob("log.*"))
    assert len(files) == 2
    assert sum(each.stat().st_size for each in files) <= most + 2 * len(line)
    monitor.write("exit.json", {"code": 0})
    reporter = Reporter()
    await read(folder, reporter, tmp_path / "checkpoint")
    assert reporter.output_of[STDOUT].endswith(b"x\nlast\n")
    assert most // 2 <= len(reporter.output_of[STDOUT]) <= most
    assert len(reporter.said) == 1
    assert "was lost here" in reporter.said[0]


async def test_all_of_several_files_is_read_by_one_who_keeps_up(folder: Path, tmp_path: Path) -> None:
    most = 4 * CHUNK
    kept = Log(most)
    container, reporter = Container(folder), Reporter()
    reading = asyncio.create_task(ContainerLog(container, reporter, tmp_path / "checkpoint").follow())
    line = b"x" * 1023 + b"\n"
    for number in range(3 * most // len(line)):
        kept.add(1 + number % 2, line)
        if number % 50 == 49:
            container._tell()
            for _ in range(10):
                await asyncio.sleep(0)
    monitor.write("exit.json", {"code": 0})
    container._tell()
    await reading
    assert reporter.said == []
    assert sum(map(len, reporter.output_of.values())) == 3 * most


async def test_the_next_process_goes_on_where_the_hub_was(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asman_worker.execution.log_checkpoint._SECONDS", -1.0)
    kept = Log(10**6)
    for number in range(5):
        kept.add(1, f"{number}\n".encode())
    first = Reporter()
    lines = ContainerLog(Container(folder), first, tmp_path / "checkpoint")
    lines.begin()
    assert await lines._read()
    kept.add(1, b"5\n")
    assert await lines._read()
    kept.add(1, b"6\n")
    monitor.write("exit.json", {"code": 0})
    second = Reporter()
    await read(folder, second, tmp_path / "checkpoint", again=True)
    got = second.output_of[STDOUT].splitlines()
    assert got == [str(number).encode() for number in range(second.first, 7)]
    assert second.first == 5
