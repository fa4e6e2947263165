"""Tasks on a worker that runs containers without an engine: their inputs, their commands, and each kind of output."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.asman_processes import AsmanProcess, AsmanProcesses, HubProcess
from devtools.patience import PATIENCE
from tests.integration.server.tes.conftest import QUEUE
from tests.integration.server.tes.test_tasks import task
from tests.support.images import BUSYBOX
from tests.support.s3 import KEY, SECRET, S3Server, s3_for_session
from tests.support.tes_door import TesDoor

StartWorker = Callable[..., Coroutine[Any, Any, AsmanProcess]]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    yield from s3_for_session()


@pytest.fixture
def start(hub: HubProcess, processes: AsmanProcesses, busybox_archive: Path, tmp_path: Path) -> StartWorker:
    """Starts such a worker, with more options; the hub knows it then."""

    async def started(*options: str, **environment: str) -> AsmanProcess:
        own = ("--executor", "oci", "--oci-image", str(busybox_archive), "--network", "none", "--cpus", "4")
        data = ("--data-dir", str(tmp_path / "worker"))
        queue = hub.queue(QUEUE)
        made = await asyncio.to_thread(processes.worker, queue, *own, *data, *options, environment=environment)
        await asyncio.to_thread(made.wait_for_output, "registered at")
        return made

    return started


async def test_files_go_in_and_come_out_of_a_task_that_fails_in_its_second_command(
    door: TesDoor, start: StartWorker
) -> None:
    await start()
    made = task(
        BUSYBOX,
        "tr a-z A-Z; cat /data/deep/two > two; pwd; echo err >&2; mkdir d; echo deep > d/x; touch a.txt b.log",
        inputs=[{"path": "/data/one", "content": "one\n"}, {"path": "/data/deep/two", "content": "two\n"}],
        outputs=[
            {"path": "/AbCdEf/out", "url": ""},
            {"path": "/AbCdEf", "url": "", "type": "DIRECTORY"},
            {"path": "/AbCdEf/*.txt", "path_prefix": "/AbCdEf", "url": "asman:texts"},
            {"path": "/AbCdEf/never", "url": ""},
        ],
        executor={"workdir": "/AbCdEf", "stdin": "/data/one", "stdout": "/AbCdEf/out"},
    )
    made["executors"].append({"image": BUSYBOX, "command": ["sh", "-c", "cat /AbCdEf/two; exit 5"]})
    made["executors"].append({"image": BUSYBOX, "command": ["true"]})
    found = await door.over(await door.create(made))
    assert found["state"] == "EXECUTOR_ERROR", found
    (log,) = found["logs"]
    assert [(each["exit_code"], each["stdout"], each["stderr"]) for each in log["logs"]] == [
        (0, "ONE\n/AbCdEf\n", "err\n"),
        (5, "two\n", ""),
    ]
    outputs = {each["path"]: each for each in log["outputs"]}
    assert set(outputs) == {f"/AbCdEf/{name}" for name in ("out", "two", "d/x", "a.txt", "b.log")}
    assert await door.bytes_at(outputs["/AbCdEf/out"]["url"]) == b"ONE\n/AbCdEf\n"
    assert await door.bytes_at(outputs["/AbCdEf/d/x"]["url"]) == b"deep\n"
    assert "not kept: /AbCdEf/never: no file matches this pattern" in log["system_logs"]


async def test_outputs_go_to_a_shared_folder_which_may_also_be_the_live_one(
    door: TesDoor, start: StartWorker, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    (folder / "store").mkdir(parents=True)
    (folder / "in").write_text("in\n")
    await start("--shared-folder", f"{folder}:rw")
    made = task(
        BUSYBOX,
        f"cat /copy > /out/a; mkdir /out/d; echo x > /out/d/x; echo live > {folder}/store/live",
        inputs=[
            {"path": "/copy", "url": f"file://{folder}/in"},
            {"path": f"{folder}/store", "url": f"file://{folder}/store", "type": "DIRECTORY"},
        ],
        outputs=[
            {"path": "/out/a", "url": f"file://{folder}/new/a"},
            {"path": "/out/d", "url": f"file://{folder}/d/", "type": "DIRECTORY"},
        ],
    )
    found = await door.over(await door.create(made))
    assert found["state"] == "COMPLETE", found
    told = {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}
    assert told == {"in": "in\n", "new/a": "in\n", "d/x": "x\n", "store/live": "live\n"}
    assert {each["path"]: each["url"] for each in found["logs"][0]["outputs"]} == {
        "/out/a": f"file://{folder}/new/a",
        "/out/d/x": f"file://{folder}/d/x",
    }


async def test_12_each_try_of_a_task_has_an_empty_tmp_of_its_own(
    door: TesDoor, start: StartWorker, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    await start("--shared-folder", f"{folder}:rw")
    made = task(
        BUSYBOX,
        "mkdir /tmp/conda && ls && touch /flags/begun && if [ ! -e /flags/second ]; then sleep 1000; fi",
        inputs=[
            {"path": "/tmp/script.sh", "content": "x"},
            {"path": "/flags", "url": f"file://{folder}/", "type": "DIRECTORY"},
        ],
        executor={"workdir": "/tmp"},
    )
    made_id = await door.create(made)
    async with asyncio.timeout(PATIENCE):
        while not (folder / "begun").exists():
            await asyncio.sleep(0.05)
    (folder / "second").touch()
    (monitor,) = (tmp_path / "worker").glob(f"oci/*/asman-{made_id[:12]}-*/monitor")
    os.kill(json.loads(monitor.read_bytes())["pid"], signal.SIGKILL)  # the try is lost, as with its machine
    found = await door.over(made_id)
    assert found["state"] == "COMPLETE", found
    # The log may have the words of the first try, too.
    assert found["logs"][0]["logs"][0]["stdout"].endswith("conda\nscript.sh\n")


async def test_outputs_go_to_a_bucket(door: TesDoor, start: StartWorker, s3: S3Server) -> None:
    bucket = s3.new_bucket()
    variables = {"ASMAN_WORKER_S3_ACCESS_KEY": KEY, "ASMAN_WORKER_S3_SECRET_KEY": SECRET}
    await start("--s3-bucket", f"{bucket}:rw", "--s3-endpoint", s3.url, **variables)
    first = task(
        BUSYBOX,
        "echo one > /out/one; mkdir /out/d; echo two > /out/d/two; env; exit 3",
        outputs=[
            {"path": "/out/one", "url": f"s3://{bucket}/some/one"},
            {"path": "/out/d", "url": f"s3://{bucket}/tree", "type": "DIRECTORY"},
        ],
    )
    found = await door.over(await door.create(first))
    assert (found["state"], SECRET in str(found)) == ("EXECUTOR_ERROR", False), found
    assert s3.files(bucket) == ["some/one", "tree/two"]
    inputs = [{"path": "/in/one", "url": f"s3://{bucket}/some/one"}]
    second = await door.over(await door.create(task(BUSYBOX, "cat /in/one", inputs=inputs)))
    assert second["logs"][0]["logs"][0]["stdout"] == "one\n", second
