"""Inputs from, and outputs to, folders that a worker shares and S3 buckets, with real containers and a real S3."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.asman_processes import AsmanProcess, AsmanProcesses, HubProcess
from devtools.engine import Engine
from tests.integration.server.tes.conftest import QUEUE
from tests.integration.server.tes.test_tasks import task
from tests.support.s3 import KEY, SECRET, S3Server, s3_for_session
from tests.support.tes_door import OLDER, TesDoor

StartWorker = Callable[..., Coroutine[Any, Any, AsmanProcess]]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    yield from s3_for_session()


@pytest.fixture
def start(
    hub: HubProcess, processes: AsmanProcesses, engine: Engine, busybox_image: str, tmp_path: Path
) -> StartWorker:
    """Starts a worker that runs containers, with more options; the hub knows it then."""

    async def started(*options: str, **environment: str) -> AsmanProcess:
        own = ["--data-dir", str(tmp_path / "worker"), "--local-images", busybox_image, "--cpus", "4"]
        variables = {"DOCKER_HOST": engine.host, **environment}
        made = await asyncio.to_thread(processes.worker, hub.queue(QUEUE), *own, *options, environment=variables)
        await asyncio.to_thread(made.wait_for_output, "registered at")
        return made

    return started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to be shared, in one with something secret."""
    made = tmp_path / "shared"
    made.mkdir()
    (tmp_path / "secret").write_text("secret")
    return made


async def test_files_come_from_a_shared_folder_and_go_there(
    door: TesDoor, start: StartWorker, busybox_image: str, folder: Path
) -> None:
    (folder / "in/deep").mkdir(parents=True)
    (folder / "in/a b").write_text("one\n")
    (folder / "in/deep/two").write_text("two\n")
    await start("--shared-folder", f"{folder}:rw")
    made = task(
        busybox_image,
        "cat /data/one /tree/deep/two > /out/all; mkdir /out/d; echo x > /out/d/x; echo y > /out/y.txt; cat /data/one",
        inputs=[
            {"path": "/data/one", "url": f"file://{folder}/in/a%20b"},
            {"path": "/tree", "url": f"file://{folder}/in", "type": "DIRECTORY"},
        ],
        outputs=[
            {"path": "/out/all", "url": f"file://{folder}/new/all.txt"},
            {"path": "/out/d", "url": f"file://{folder}/d/", "type": "DIRECTORY"},
            {"path": "/out/*.txt", "path_prefix": "/out", "url": f"file://{folder}/texts"},
            {"path": "/out/o", "url": ""},
        ],
        executor={"stdout": "/out/o"},
    )
    found = await door.over(await door.create(made))
    assert found["state"] == "COMPLETE", found
    assert (folder / "new/all.txt").read_text() == "one\ntwo\n"
    assert (folder / "d/x").read_text() == "x\n"
    assert (folder / "texts/y.txt").read_text() == "y\n"
    outputs = {each["path"]: each for each in found["logs"][0]["outputs"]}
    assert outputs["/out/all"] == {"path": "/out/all", "url": f"file://{folder}/new/all.txt", "size_bytes": "8"}
    assert set(outputs) == {"/out/all", "/out/d/x", "/out/y.txt", "/out/o"}
    assert await door.bytes_at(outputs["/out/o"]["url"]) == b"one\n"
    for path in ("/ga4gh/tes/v1/service-info", f"{OLDER}/tasks/service-info"):
        async with door.session.get(f"{door.url}{path}") as response:
            assert (await response.json())["storage"] == [f"file://{folder}"]


async def test_a_folder_at_its_own_path_is_the_live_one(
    door: TesDoor, start: StartWorker, busybox_image: str, folder: Path
) -> None:
    """Toil's job store has to be that: a copy would be of no use to it."""
    (folder / "store").mkdir()
    (folder / "store").chmod(0o777)
    await start("--shared-folder", f"{folder}:rw")
    live = {"path": f"{folder}/store", "url": f"file://{folder}/store", "type": "DIRECTORY"}
    root = {"path": "/elsewhere", "url": f"file://{folder}/", "type": "DIRECTORY"}
    executors = [
        {"image": busybox_image, "command": ["sh", "-c", f"echo one > {folder}/store/x"]},
        {"image": busybox_image, "command": ["sh", "-c", f"cat {folder}/store/x >> {folder}/store/y"]},
    ]
    found = await door.over(await door.create({"executors": executors, "inputs": [live]}))
    assert found["state"] == "COMPLETE", found
    assert (folder / "store/y").read_text() == "one\n"
    found = await door.over(await door.create(task(busybox_image, "cat /elsewhere/store/y", inputs=[root])))
    assert found["logs"][0]["logs"][0]["stdout"] == "one\n"
    inside = task(busybox_image, "true", inputs=[live], outputs=[{"path": f"{folder}/store/out/x", "url": ""}])
    assert "can't be where a config file is" in await door.refused(inside)
    inside["outputs"][0]["path"] = f"{folder}/other/x"
    found = await door.over(await door.create(inside))
    assert found["state"] == "SYSTEM_ERROR"
    assert "can't be where the shared folder" in found["logs"][0]["system_logs"][0]


async def test_a_shared_folder_is_read_only_unless_told_otherwise(
    door: TesDoor, start: StartWorker, busybox_image: str, folder: Path
) -> None:
    folder.chmod(0o777)
    await start("--shared-folder", str(folder))
    live = {"path": str(folder), "url": f"file://{folder}", "type": "DIRECTORY"}
    found = await door.over(await door.create(task(busybox_image, f"echo x > {folder}/x", inputs=[live])))
    assert (found["state"], "ead-only" in found["logs"][0]["logs"][0]["stderr"]) == ("EXECUTOR_ERROR", True)
    refused = await door.refused(task(busybox_image, "true", outputs=[{"path": "/out/x", "url": f"file://{folder}/x"}]))
    assert "--shared-folder PATH:rw (outputs[0].url)" in refused
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("path", ["../secret", "link/secret", "a/../../secret", "file", "%2e%2e/secret", "fifo"])
async def test_no_path_leads_out_of_a_shared_folder(
    door: TesDoor, start: StartWorker, busybox_image: str, folder: Path, path: str
) -> None:
    (folder / "link").symlink_to("..")
    (folder / "file").symlink_to("../secret")
    os.mkfifo(folder / "fifo")
    await start("--shared-folder", f"{folder}:rw")
    url = f"file://{folder}/{path}"
    status, answer = await door.ask(
        "POST", "/tasks", task(busybox_image, "cat /x", inputs=[{"path": "/x", "url": url}])
    )
    if status == 200:
        found = await door.over(answer["id"])
        assert found["state"] == "SYSTEM_ERROR", found
        assert "the config file '/x' can't be read" in found["logs"][0]["system_logs"][0]
    else:
        assert (status, "file://" in answer["msg"]) == (400, True)
    out = {"path": "/out/x", "url": url.replace("secret", "new/x")}
    status, answer = await door.ask("POST", "/tasks", task(busybox_image, "echo x > /out/x", outputs=[out]))
    if status == 200:
        found = await door.over(answer["id"])
        linked = path.startswith("link")
        assert found["state"] == ("SYSTEM_ERROR" if linked else "COMPLETE"), found
        assert any("could not be written" in each for each in found["logs"][0].get("system_logs", [])) is linked
    assert not (folder.parent / "new").exists()
    assert (folder.parent / "secret").read_text() == "secret"


async def test_a_task_waits_for_a_worker_that_shares_and_explain_names_what_is_missing(
    door: TesDoor, start: StartWorker, busybox_image: str, folder: Path
) -> None:
    (folder / "x").write_text("text")
    made_id = await door.create(task(busybox_image, "cat /x", inputs=[{"path": "/x", "url": f"file://{folder}/x"}]))
    plain = await start()
    async with door.session.get(f"{door.url}/jobs/{made_id}/explain") as response:
        assert "it needs the tag asman:shared-folder;" in (await response.json())["sentence"]
    refused = await door.refused(task(busybox_image, "true", inputs=[{"path": "/x", "url": f"file://{folder}/x"}]))
    assert f"no worker of this queue shares a folder with '{folder}/x' for reading" in refused
    await asyncio.to_thread(plain.kill)
    await start("--shared-folder", str(folder), "--data-dir", str(folder.parent / "other"))
    found = await door.over(made_id)
    assert (found["state"], found["logs"][0]["logs"][0]["stdout"]) == ("COMPLETE", "text")


async def test_a_worker_that_shares_something_else_says_so(
    door: TesDoor, start: StartWorker, busybox_image: str, folder: Path
) -> None:
    made_id = await door.create(task(busybox_image, "cat /x", inputs=[{"path": "/x", "url": "file:///srv/other/x"}]))
    await start("--shared-folder", str(folder))
    found = await door.over(made_id)
    assert found["state"] == "SYSTEM_ERROR"
    assert "shares no folder with '/srv/other/x' for reading: see its option --shared-folder PATH" in str(found)


async def test_objects_come_from_a_bucket_and_go_there(
    door: TesDoor, start: StartWorker, busybox_image: str, s3: S3Server
) -> None:
    bucket = s3.new_bucket()
    variables = {"ASMAN_WORKER_S3_ACCESS_KEY": KEY, "ASMAN_WORKER_S3_SECRET_KEY": SECRET}
    worker = await start("--s3-bucket", f"{bucket}:rw", "--s3-endpoint", s3.url, **variables)
    first = task(
        busybox_image,
        "cd /out; echo one > one; mkdir -p d/e; echo two > d/e/two; echo end; env; head -c 40000000 /dev/zero > big",
        outputs=[
            {"path": "/out/one", "url": f"s3://{bucket}/some/key of one"},
            {"path": "/out/d", "url": f"s3://{bucket}/tree", "type": "DIRECTORY"},
            {"path": "/out", "url": f"s3://{bucket}/all", "type": "DIRECTORY"},
            {"path": "/out/never", "url": f"s3://{bucket}/never"},
            {"path": "/logs/o", "url": ""},
        ],
        executor={"stdout": "/logs/o"},
    )
    found = await door.over(await door.create(first))
    assert found["state"] == "COMPLETE", found
    log = found["logs"][0]
    assert s3.files(bucket) == ["all/big", "all/d/e/two", "all/one", "some/key of one", "tree/e/two"]
    urls = {each["path"]: each["url"] for each in log["outputs"]}
    assert urls["/out/big"] == f"s3://{bucket}/all/big"
    assert {"/out/one", "/out/d/e/two", "/logs/o"} < set(urls)
    assert any(each.startswith("not kept: /out/never") for each in log["system_logs"])
    second = task(
        busybox_image,
        "cat /i/one /t/e/two; wc -c < /i/big",
        inputs=[
            {"path": "/i/one", "url": f"s3://{bucket}/some/key of one"},
            {"path": "/i/big", "url": f"s3://{bucket}/all/big"},
            {"path": "/t", "url": f"s3://{bucket}/tree/", "type": "DIRECTORY"},
        ],
    )
    read = await door.over(await door.create(second))
    assert read["logs"][0]["logs"][0]["stdout"] == "one\ntwo\n40000000\n", read
    for shown in (str(found), str(read), worker.tail()):
        assert SECRET not in shown
    environment = (await door.bytes_at(urls["/logs/o"])).decode()
    assert SECRET not in environment and KEY not in environment
    async with door.session.get(f"{door.url}/ga4gh/tes/v1/service-info") as response:
        assert (await response.json())["storage"] == [f"s3://{bucket}"]


async def test_what_a_bucket_refuses_is_told(
    door: TesDoor, start: StartWorker, busybox_image: str, s3: S3Server
) -> None:
    bucket, readable, wrong = s3.new_bucket(), s3.new_bucket(), "asman-no-such-bucket"
    variables = {"ASMAN_WORKER_S3_ACCESS_KEY": KEY, "ASMAN_WORKER_S3_SECRET_KEY": SECRET}
    options = ("--s3-bucket", f"{bucket}:rw", "--s3-bucket", readable, "--s3-bucket", f"{wrong}:rw")
    await start(*options, "--s3-endpoint", s3.url, **variables)
    out: dict[str, Any] = {"path": "/out/x", "url": f"s3://{readable}/x"}
    assert f"--s3-bucket {readable}:rw (outputs[0].url)" in await door.refused(
        task(busybox_image, "true", outputs=[out])
    )
    missing = task(busybox_image, "true", inputs=[{"path": "/x", "url": f"s3://{bucket}/none"}])
    found = await door.over(await door.create(missing))
    assert found["state"] == "SYSTEM_ERROR"
    assert f"there is no s3://{bucket}/none" in found["logs"][0]["system_logs"][0]
    lost = task(
        busybox_image,
        "echo x > /out/x; echo y > /out/y; exit $CODE",
        outputs=[{"path": "/out/x", "url": f"s3://{wrong}/x"}, {"path": "/out/y", "url": f"s3://{bucket}/y"}],
    )
    for code, state in ((0, "SYSTEM_ERROR"), (3, "EXECUTOR_ERROR")):
        lost["executors"][0]["env"] = {"CODE": str(code)}
        found = await door.over(await door.create(lost))
        log = found["logs"][0]
        assert (found["state"], log["logs"][0]["exit_code"]) == (state, code), found
        assert [each["url"] for each in log["outputs"]] == [f"s3://{bucket}/y"]
        assert any(f"it could not be written to s3://{wrong}/x: there is no" in each for each in log["system_logs"])
