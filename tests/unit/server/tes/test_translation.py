"""Definitions made of tasks."""

from __future__ import annotations

from typing import Any

import pytest

from asman_server.config import HubConfig
from asman_server.hub import Hub
from asman_server.tes.reach import Reach
from asman_server.tes.task import read, sent
from asman_server.tes.translation import definition_of, shown_again
from asman_shared.definition import DataRef, Definition, Requirements, Step
from asman_shared.definition_check import check
from asman_shared.errors import BadRequest
from asman_shared.identity import job_id

EXECUTOR: dict[str, Any] = {"image": "alpine", "command": ["a", "b c"]}
WORKERS = [["asman:shared-folder:/srv/data:rw", "asman:shared-folder:/srv", "asman:s3-bucket:b-1"]]
REUSED = {"tags": {"asman.reuse": "success"}}


async def made(**task: Any) -> Definition:
    """The definition of a task; no file of it is large enough to need the hub's store."""
    definition = await definition_of(Hub(HubConfig()), read({"executors": [EXECUTOR], **task}), Reach(WORKERS))
    check(definition)
    return definition


async def test_a_plain_task_is_a_plain_definition() -> None:
    assert await made(**REUSED) == Definition(image="alpine", command=["a", "b c"], entrypoint=[])


async def test_each_task_is_like_no_other_unless_it_asks_for_a_result() -> None:
    assert job_id(await made()) != job_id(await made())
    assert job_id(await made(**REUSED)) == job_id(await made(**REUSED, name="n", description="d"))


async def test_executors_are_steps_and_folders_that_are_written_to_are_volumes() -> None:
    definition = await made(
        executors=[
            {**EXECUTOR, "stdout": "/logs/o", "env": {"A": "b"}, "workdir": "/w/"},
            {"image": "busybox", "command": ["c"], "stdin": "/in/x", "stderr": "/logs//deep/e", "ignore_error": True},
        ],
        volumes=["/scratch/"],
        outputs=[
            {"path": "/out/x"},
            {"path": "/out/d/", "type": "DIRECTORY"},
            {"path": "/pat/a[0-9]/*.txt", "path_prefix": "/pat/"},
            {"path": "/out/lit[1]*?"},
        ],
        inputs=[{"path": "/in/x", "content": "text"}, {"path": "/in/y", "url": "https://h/y"}],
        **REUSED,
    )
    assert definition == Definition(
        image="alpine",
        command=["a", "b c"],
        entrypoint=[],
        env={"A": "b"},
        workdir="/w",
        stdout="/logs/o",
        steps=[
            Step(
                image="busybox",
                command=["c"],
                entrypoint=[],
                stdin="/in/x",
                stderr="/logs/deep/e",
                ignore_failure=True,
            )
        ],
        volumes=["/logs", "/logs/deep", "/out", "/out/d", "/pat", "/scratch"],
        outputs=["out/x", "out/d", "pat/a[0-9]/*.txt", "out/lit[[]1][*][?]"],
        config_files={"/in/x": DataRef("text", "utf8"), "/in/y": DataRef("https://h/y", "url")},
    )


async def test_resources_choose_a_worker() -> None:
    resources = {
        "cpu_cores": 2,
        "ram_gb": 1.5,
        "disk_gb": 100,
        "preemptible": True,
        "backend_parameters": {"GPUs": "1", "worker_tags": "a,b,", "max_duration": "20m", "VmSize": "x"},
    }
    definition = await made(resources=resources, **REUSED)
    assert definition.requirements == Requirements(cpus=2, memory="1500MB", gpus=1)
    assert isinstance(definition.requirements.cpus, int)
    assert (definition.tags, definition.max_duration) == (["a", "b"], "20m")
    assert (await made(resources={"cpu_cores": 0.5}, **REUSED)).requirements == Requirements(cpus=0.5)
    assert (await made(resources={"cpu_cores": 0, "ram_gb": 0}, **REUSED)).requirements is None


async def test_a_file_of_the_hub_is_named_by_its_hash() -> None:
    sha256 = "0" * 64
    definition = await made(inputs=[{"path": "/x", "url": f"key:{sha256}"}])
    assert definition.config_files == {"/x": DataRef(sha256, "key")}


async def test_content_counts_even_beside_an_address_and_an_empty_one_does_not() -> None:
    definition = await made(
        inputs=[
            {"path": "/a", "url": "https://h/a", "content": "a"},
            {"path": "/b", "url": "https://h/b", "content": ""},
            {"path": "/c"},
        ]
    )
    assert definition.config_files == {
        "/a": DataRef("a", "utf8"),
        "/b": DataRef("https://h/b", "url"),
        "/c": DataRef("", "utf8"),
    }


def test_nulls_and_what_a_server_owns_are_not_there() -> None:
    body = {"id": "x", "state": None, "logs": [], "name": None, "executors": [{"env": None, "command": ["a"]}]}
    assert sent(body) == {"executors": [{"command": ["a"]}]}
    for wrong in ({"command": ["a", None]}, {"env": {"A": None}}):
        with pytest.raises(BadRequest):
            read(sent({"executors": [{**EXECUTOR, **wrong}]}))


def test_a_task_is_shown_without_contents_and_without_parameters_that_mean_nothing() -> None:
    body = {
        "inputs": [{"path": "/a", "content": "x"}, {"path": "/b", "url": "y"}],
        "resources": {"backend_parameters": {"VmSize": "x", "gpus": "1"}, "cpu_cores": 1},
        "tags": {"content": "stays"},
    }
    assert shown_again(body) == {
        "inputs": [{"path": "/a"}, {"path": "/b", "url": "y"}],
        "resources": {"backend_parameters": {"gpus": "1"}, "cpu_cores": 1},
        "tags": {"content": "stays"},
    }


def test_a_task_that_is_nested_too_deeply_is_refused() -> None:
    body: Any = []
    for _ in range(50):
        body = [body]
    with pytest.raises(BadRequest):
        read(sent({"executors": body}))
