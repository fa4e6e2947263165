"""Folders that the operator shares, in containers of each executor, and after a restart of the worker."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asman_shared.definition import DataRef, Step
from asman_shared.messages import STDERR, STDOUT, Finished, Kept
from devtools.fake_hub import FakeHub, Line, job
from tests.integration.worker.conftest import config_for, first_line, means_of, worker
from tests.integration.worker.test_lifecycle import says, worker_process
from tests.support.images import BUSYBOX


@pytest.fixture(params=["docker", "oci"])
def means(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of the executors whose worker shares folders."""
    return means_of(request.param, request)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shared"
    (made / "sub").mkdir(parents=True)
    (made / "x").write_text("text\n")
    for each in (made, made / "sub"):
        each.chmod(0o777)
    return made


@pytest.fixture(params=["", ":rw"])
async def sharing(
    request: pytest.FixtureRequest, hub: FakeHub, tmp_path: Path, means: dict[str, Any], folder: Path
) -> AsyncIterator[Line]:
    """A worker that shares the folder, read-only or not."""
    config = config_for(hub, tmp_path / "data", **means, shared_folder=(f"{folder}{request.param}",))
    async with worker(config) as task:
        made = await first_line(hub, task)
        await made.answer()
        yield made


def place(path: Path | str) -> DataRef:
    return DataRef(f"file://{path}", "url")


async def test_files_are_copied_and_the_folder_itself_is_live_and_read_only_unless_told_otherwise(
    request: pytest.FixtureRequest, sharing: Line, busybox_image: str, folder: Path
) -> None:
    own = f"{folder}/sub"
    await sharing.assign(
        "a",
        image=busybox_image,
        command=["sh", "-c", f"cat /copy /tree/x; echo no > /copy; echo live > {folder}/sub/live; echo $?"],
        tags=["asman:shared-folder"],
        config_files={"/copy": place(f"{folder}/x"), "/tree": place(f"{folder}/"), own: place(f"{own}/")},
    )
    await sharing.expect(Finished)
    writable = request.node.callspec.params["sharing"] == ":rw"
    assert sharing.texts("a", STDOUT) == ["text", "text", "0" if writable else "1"]
    assert any("/copy" in each for each in sharing.texts("a", STDERR))
    assert (folder / "sub/live").exists() is writable
    assert (folder / "x").read_text() == "text\n"


async def test_a_worker_tells_what_it_shares(sharing: Line, folder: Path) -> None:
    tags = set(sharing.register.tags)
    assert {"asman:shared-folder", f"asman:shared-folder:{folder}"} <= tags


async def test_a_restarted_worker_mounts_files_and_folders_for_the_steps_that_follow(
    hub: FakeHub, tmp_path: Path, means: dict[str, Any], folder: Path
) -> None:
    wait = "echo ready >&2; until [ -e /job-cache/go ]; do sleep 0.05; done"
    options = {**means, "shared_folder": [f"{folder}:rw"]}
    async with worker_process(hub, tmp_path / "data", **options) as process:
        line = await hub.line()
        await line.answer()
        await line.assign(
            "a",
            image=BUSYBOX,
            command=["sh", "-c", wait],
            volumes=["/v"],
            tags=["asman:shared-folder"],
            config_files={"/inline": DataRef("inline\n"), "/one": place(f"{folder}/x"), "/live": place(f"{folder}/")},
            steps=[Step(command=["sh", "-c", "cat /inline /one /live/x; echo two > /live/sub/two"])],
        )
        await says(line, "a", "ready")
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with worker_process(hub, tmp_path / "data", **options):
        line = await hub.line()
        await line.answer([Kept(job("a"), 1, 1)])
        await asyncio.to_thread(next((tmp_path / "data" / "cache").iterdir()).joinpath("go").touch)
        finished = await line.expect(Finished)
    assert [each.exit_code for each in finished.outcome.result.steps] == [0, 0], line.texts("a")
    assert line.texts("a", STDOUT) == ["inline", "text", "text"]
    assert (folder / "sub/two").read_text() == "two\n"
