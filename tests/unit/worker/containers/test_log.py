"""A container's output from an engine that does not always tell it all at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiodocker import Docker

from asman_shared.messages import STDERR, STDOUT
from asman_shared.states import Phase
from asman_worker.containers.log import EngineLog

Entry = tuple[int, str, str]

LOG: list[Entry] = [
    (1, "10.000000001", "one\n"),
    (2, "10.000000003", "err\n"),
    (1, "10.000000002", "two\n"),
    (1, "10.000000004", "three\n"),
    (1, "10.000000004", "four\n"),
    (1, "99.000000000", "last\n"),
]


DOCKER = "2026-01-01T00:{minutes:02}:{seconds:02}.{nanos}Z"
PODMAN = "2026-01-01T00:{minutes:02}:{seconds:02}Z"
ELSEWHERE = "2026-01-01T02:{minutes:02}:{seconds:02}.{nanos}+02:00"
BEGAN = 1_767_225_600_000


def framed(entry: Entry, style: str = DOCKER) -> bytes:
    stream, when, text = entry
    seconds, nanos = when.split(".")
    stamp = style.format(minutes=int(seconds) // 60, seconds=int(seconds) % 60, nanos=nanos)
    body = f"{stamp} {text}".encode()
    return bytes((stream, 0, 0, 0)) + len(body).to_bytes(4, "big") + body


class Content:
    def __init__(self, chunks: list[bytes | Exception]) -> None:
        self._chunks = chunks

    async def readany(self) -> bytes:
        if not self._chunks:
            return b""
        chunk = self._chunks.pop(0)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk


class Response:
    def __init__(self, content: Content) -> None:
        self.content = content

    def close(self) -> None:
        pass


class Engine:
    """Follows only as far as the test says; tells everything when it is asked without following."""

    def __init__(self, *cuts: int | Exception, style: str = DOCKER) -> None:
        self.cuts = list(cuts)
        self.style = style
        self.asked: list[dict[str, Any]] = []
        self.ended = asyncio.Event()

    @asynccontextmanager
    async def _query(self, path: str, params: dict[str, Any], timeout: object) -> AsyncIterator[Response]:
        self.asked.append(params)
        chunks: list[bytes | Exception] = []
        if params["follow"]:
            cut = self.cuts.pop(0)
            if isinstance(cut, Exception):
                chunks.append(cut)
            else:
                data = b"".join(framed(entry, self.style) for entry in LOG[:cut])
                chunks += [data[at : at + 7] for at in range(0, len(data), 7)]
            if not self.cuts:
                self.ended.set()
        else:
            chunks += [framed(entry, self.style) for entry in LOG]
        yield Response(Content(chunks))


class Report:
    def __init__(self) -> None:
        self.got: list[tuple[int, bytes]] = []
        self.times: list[int | None] = []
        self.start = 0
        self.clean = True

    def phase(self, phase: Phase, done: int = 0, total: int = 0, unit: str = "") -> None: ...

    def output(self, stream: int, chunk: bytes, when: int | None = None) -> None:
        self.got.append((stream, chunk))
        self.times.append(when)

    def say(self, text: str) -> None: ...

    def close_streams(self) -> None: ...

    async def room(self) -> None: ...

    def start_at(self, seq: int) -> None:
        self.start = seq

    @property
    def next_line(self) -> int:
        return self.start + len(self.got)

    @property
    def sent_line(self) -> int:
        return self.next_line


ALL = [
    (STDOUT, b"one\n"),
    (STDERR, b"err\n"),
    (STDOUT, b"two\n"),
    (STDOUT, b"three\n"),
    (STDOUT, b"four\n"),
    (STDOUT, b"last\n"),
]


@pytest.mark.parametrize(
    "cuts", [(6,), (0,), (1,), (2,), (3,), (4,), (5,), (2, 4), (aiohttp.ClientConnectionError(), 3), (3, OSError())]
)
async def test_an_engine_that_ends_or_breaks_the_stream_early_costs_no_line_and_doubles_none(
    tmp_path: Path, cuts: tuple[int | Exception, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asman_worker.containers.log._PAUSE_SECONDS", 0.001)
    engine, report = Engine(*cuts), Report()
    lines = EngineLog(cast(Docker, engine), "c" * 64, report, tmp_path / "checkpoint")
    lines.begin()
    await lines.follow(engine.ended)
    assert report.got == ALL
    assert not engine.asked[-1]["follow"]


@pytest.mark.parametrize("style", [DOCKER, PODMAN, ELSEWHERE])
async def test_times_are_read_as_engines_write_them(
    tmp_path: Path, style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asman_worker.containers.log._PAUSE_SECONDS", 0.001)
    engine, report = Engine(3, 5, style=style), Report()
    await EngineLog(cast(Docker, engine), "c" * 64, report, tmp_path / "checkpoint").follow(engine.ended)
    assert report.got == ALL
    assert report.times == [BEGAN + 10_000] * 5 + [BEGAN + 99_000]
    assert engine.asked[1]["since"].split(".")[0] == str(BEGAN // 1000 + 8)


@pytest.mark.parametrize("before", range(7))
async def test_a_later_process_goes_on_from_the_checkpoint(
    tmp_path: Path, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asman_worker.execution.log_checkpoint._SECONDS", -1.0)
    checkpoint = tmp_path / "checkpoint"
    engine, report = Engine(before), Report()
    lines = EngineLog(cast(Docker, engine), "c" * 64, report, checkpoint)
    lines.begin()
    await lines._stream(asyncio.Event(), follow=True)
    told = list(report.got)
    engine, report = Engine(0), Report()
    again = EngineLog(cast(Docker, engine), "c" * 64, report, checkpoint)
    again.load()
    await again.follow(engine.ended)
    assert report.start <= len(told)
    assert told[: report.start] + report.got == ALL


async def test_without_a_readable_checkpoint_the_whole_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text("{not json")
    engine, report = Engine(3), Report()
    lines = EngineLog(cast(Docker, engine), "c" * 64, report, tmp_path / "checkpoint")
    lines.load()
    await lines.follow(engine.ended)
    assert report.got == ALL
