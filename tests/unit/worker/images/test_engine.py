"""Engines: where they are looked for, what their errors mean, and what they are told to make."""

from __future__ import annotations

import asyncio
import errno
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiodocker.exceptions import DockerError
from aiohttp import web

from asman_shared.errors import ExecutionError, Unavailable
from asman_worker.images import engine as module
from asman_worker.images.engine import (
    LOST,
    close_engine,
    cut_off,
    explained,
    is_podman,
    open_engine,
    own_ulimits,
    to_its_end,
)


@pytest.mark.parametrize(
    ("version", "podman"),
    [
        ({"Components": [{"Name": "Podman Engine"}]}, True),
        ({"Components": [{"Name": "Engine"}, {"Name": "containerd"}]}, False),
        ({"Components": None}, False),
        ({}, False),
    ],
)
def test_podman_is_told_by_its_word_on_its_version(version: dict[str, object], podman: bool) -> None:
    assert is_podman(version) is podman


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (DockerError(900, "cannot connect"), True),
        (DockerError(500, "context canceled"), True),
        (DockerError(500, "rpc error: code = Unavailable"), True),
        (DockerError(500, "no space left"), False),
        (DockerError(404, "shutting down"), False),
        (aiohttp.ServerDisconnectedError(), True),
        (OSError(errno.EPIPE, "broken pipe"), True),
        (ValueError("x"), False),
        (None, False),
    ],
)
def test_an_engine_that_is_away_or_going_is_told_apart_from_one_that_refuses(
    error: BaseException | None, away: bool
) -> None:
    assert cut_off(error) is away


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (DockerError(400, "bad parameter"), "job"),
        (DockerError(404, "no such image"), "job"),
        (DockerError(409, "conflict"), "worker"),
        (DockerError(500, "broken"), "worker"),
        (aiohttp.ClientConnectionError("gone"), "worker"),
        (OSError("gone"), "worker"),
    ],
)
def test_an_error_says_what_could_not_be_done_and_whose_fault_it_is(error: Exception, fault: str) -> None:
    with pytest.raises(ExecutionError) as caught, explained("start it"):
        raise error
    assert caught.value.message.startswith("the engine could not start it: the engine")
    assert caught.value.fault == fault


@pytest.mark.parametrize(
    "error",
    [
        DockerError(500, "dial tcp 10.1.2.3:443: connect: connection refused"),
        DockerError(404, "open /var/lib/docker/overlay2/x: no such thing at socket.example"),
        aiohttp.ClientConnectionError("Cannot connect to host 10.1.2.3:2375"),
        OSError(errno.ENOENT, "no such file", "/run/socket.example"),
    ],
)
def test_what_the_engine_says_of_its_machine_is_in_the_log_alone(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ExecutionError) as caught, explained("start it"):
        raise error
    telling = ("10.1.2.3", "/var/lib", "socket.example")
    assert not any(word in caught.value.message for word in telling)
    assert any(word in caplog.text for word in telling)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(KeyError), explained("start it"):
        raise KeyError("a fault in the program")


async def test_what_is_being_made_is_made_to_its_end_even_if_nobody_waits_any_more() -> None:
    made: list[str] = []
    go, begun = asyncio.Event(), asyncio.Event()

    async def create() -> str:
        begun.set()
        await go.wait()
        made.append("it")
        return "it"

    waiting = asyncio.create_task(to_its_end(create()))
    await begun.wait()
    waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert made == ["it"]
    assert await to_its_end(create()) == "it"


def test_bounds_of_a_process_are_never_more_than_this_one_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    numbers = tmp_path / "pid_max"
    numbers.write_text("4242\n")
    monkeypatch.setattr(module, "_PID_MAX", numbers)
    infinity = resource.RLIM_INFINITY
    for hard, told in ((100, (100, 100)), (infinity, (module._FILES, 4242)), (10**9, (module._FILES, 4242))):
        monkeypatch.setattr(resource, "getrlimit", lambda _which, hard=hard: (1, hard))
        assert own_ulimits() == (("nofile", told[0]), ("nproc", told[1]))


async def test_without_any_engine_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(module, "_sockets", lambda: iter(()))
    with pytest.raises(Unavailable, match="start Docker, name one with --docker"):
        await open_engine()


async def test_an_engine_that_does_not_answer_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"does not answer.*or choose --executor oci, which needs no engine"):
        await open_engine(f"unix://{tmp_path}/none.sock")


def test_engines_of_the_user_are_looked_for_where_they_usually_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    found = [str(path) for path in module._sockets()]
    assert found[0] == "/var/run/docker.sock"
    assert "/run/user/7/podman/podman.sock" in found
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert not any("/run/user" in str(path) for path in module._sockets())


@asynccontextmanager
async def hanging(path: Path) -> AsyncIterator[str]:
    """An engine that takes connections and never answers; yields its address."""
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_unix_server(lambda _reader, writer: held.append(writer), path)
    try:
        yield f"unix://{path}"
    finally:
        for writer in held:
            writer.close()
        server.close()


@asynccontextmanager
async def half_hanging(path: Path) -> AsyncIterator[str]:
    """An engine that says its version and answers nothing else; yields its address."""
    hang = asyncio.Event()

    async def version(_request: web.Request) -> web.Response:
        return web.json_response({"Version": "20.10.24", "ApiVersion": "1.41", "Arch": "amd64", "Os": "linux"})

    async def anything(_request: web.Request) -> web.Response:
        await hang.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/version", version)
    app.router.add_get("/{api:v[0-9.]+}/version", version)
    app.router.add_route("*", "/{rest:.*}", anything)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, path).start()
    try:
        yield f"unix://{path}"
    finally:
        hang.set()
        await runner.cleanup()


async def test_an_engine_that_says_its_version_alone_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.5)
    async with half_hanging(tmp_path / "engine.sock") as url:
        with pytest.raises(Unavailable, match=r"does not answer \(nothing came within 0.5 s\)"):
            await open_engine(url)


async def test_an_engine_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.1)
    async with hanging(tmp_path / "engine.sock") as url:
        with pytest.raises(Unavailable, match=r"does not answer \(nothing came within 0.1 s\)"):
            await open_engine(url)


async def test_every_call_that_is_answered_at_once_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALL", aiohttp.ClientTimeout(total=0.2))
    async with hanging(tmp_path / "engine.sock") as url:
        docker = module._connect(url)
        try:
            container = docker.containers.container("abc")
            for call in (
                docker.version(),
                docker.system.info(),
                docker.containers.list(),
                docker.images.inspect("x"),
                container.start(),
                container.show(),
                container.kill(signal="SIGKILL", timeout=module.CALL),
                container.delete(timeout=module.CALL, force=True),
            ):
                with pytest.raises(LOST) as error:
                    await call
                assert cut_off(error.value), "it counts as away, and is waited for"
        finally:
            await close_engine(docker)
