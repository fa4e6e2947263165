"""An engine that hangs: its worker says so, takes no jobs meanwhile, and goes on once it answers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from asman_shared.messages import Finished
from asman_worker.attempts import disk_reserve
from asman_worker.images import engine_health
from devtools.fake_hub import FakeHub
from devtools.ports import free_port
from tests.integration.worker.conftest import config_for, first_line, worker


class Relay:
    """A socket in front of the engine, which passes nothing on while it is shut."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    @asynccontextmanager
    async def serve(self, path: Path, engine_path: str) -> AsyncIterator[str]:
        """Serves the socket until the end of the block; yields its address."""
        async with asyncio.TaskGroup() as tasks:

            async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                try:
                    while data := await reader.read(65536):
                        await self.open.wait()
                        writer.write(data)
                        await writer.drain()
                except OSError:
                    pass
                finally:
                    writer.close()

            async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                theirs, to_engine = await asyncio.open_unix_connection(engine_path)
                both = [tasks.create_task(pass_on(reader, to_engine)), tasks.create_task(pass_on(theirs, writer))]
                await asyncio.wait(both)

            server = await asyncio.start_unix_server(come, path)
            try:
                yield f"unix://{path}"
            finally:
                server.close()
                self.open.set()


async def test_an_engine_that_hangs_gets_no_jobs_until_it_answers(
    hub: FakeHub, tmp_path: Path, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asman_worker.containers.shared_engine.ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(engine_health, "PATIENT_SECONDS", 0.1)
    monkeypatch.setattr(engine_health, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(disk_reserve, "_LOOK_SECONDS", 0.1)
    relay, port = Relay(), free_port()
    real = os.environ["DOCKER_HOST"].removeprefix("unix://")
    async with relay.serve(tmp_path / "relay.sock", real) as url, aiohttp.ClientSession() as session:

        async def health() -> tuple[int, str]:
            async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                return answer.status, await answer.text()

        async with worker(config_for(hub, tmp_path / "data", docker=url, status=port)) as task:
            line = await first_line(hub, task)
            assert not line.register.draining
            await line.answer()
            relay.open.clear()
            hung = await first_line(hub, task)
            assert hung.register.draining
            await hung.answer()
            status, said = await health()
            assert (status, "the container engine does not answer" in said) == (503, True)
            relay.open.set()
            again = await first_line(hub, task)
            assert not again.register.draining
            await again.answer()
            await again.assign("a", image=busybox_image, command="true")
            assert (await again.expect(Finished)).outcome.exit_code == 0
            assert (await health())[0] == 200
