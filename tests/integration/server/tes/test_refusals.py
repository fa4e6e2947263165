"""What is not supported is refused when the task is created, in a sentence."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pytest

from asman_server.tes import task as limits_of
from asman_shared import limits
from tests.support.tes_door import NEWER, OLDER, TesDoor

EXECUTOR: dict[str, Any] = {"image": "alpine", "command": ["true"]}
TASK: dict[str, Any] = {"executors": [EXECUTOR]}


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ([], "a task is a JSON object"),
        ({"executors": json.loads("[" * 800 + "]" * 800)}, "nested too deeply"),
        ({}, "'executors' is missing"),
        ({"executors": []}, "(executors)"),
        ({"executors": [EXECUTOR] * (limits.STEPS + 2)}, "(executors)"),
        ({"executors": [{"image": "", "command": ["a"]}]}, "(executors[0].image)"),
        ({"executors": [{"image": "a b", "command": ["a"]}]}, "an image name must not have spaces"),
        ({"executors": [{"image": "a", "command": []}]}, "(executors[0].command)"),
        ({**TASK, "callback_url": f"https://x/{'y' * limits.CALLBACK_URL_BYTES}"}, "(callback_url)"),
        ({**TASK, "callback": "https://x"}, "callback"),
        ({**TASK, "inputs": [{"path": "x", "content": "a"}]}, "(inputs[0].path)"),
        ({**TASK, "inputs": [{"path": "/a/../x", "content": "a"}]}, "(inputs[0].path)"),
        ({**TASK, "inputs": [{"path": "/x", "content": "a"}, {"path": "//x/", "content": "b"}]}, "(inputs[1].path)"),
        ({**TASK, "inputs": [{"path": "/x", "content": "a", "type": "DIRECTORY"}]}, "a DIRECTORY has no content"),
        ({**TASK, "inputs": [{"path": "/x", "url": "https://h/", "type": "DIRECTORY"}]}, "can't be fetched here"),
        ({**TASK, "inputs": [{"path": "/dev/x", "content": "a"}]}, "can't be put there"),
        ({**TASK, "inputs": [{"path": "/x", "type": "LINK"}]}, "(inputs[0].type)"),
        ({**TASK, "outputs": [{"path": "/x", "url": ""}]}, "a file directly below / can't be kept"),
        ({**TASK, "outputs": [{"path": "/", "url": "", "type": "DIRECTORY"}]}, "a file directly below /"),
        ({**TASK, "outputs": [{"path": "/*/x", "path_prefix": "/", "url": ""}]}, "a file directly below /"),
        ({**TASK, "outputs": [{"path": "/a/*", "path_prefix": "/b", "url": ""}]}, "(outputs[0].path_prefix)"),
        ({**TASK, "outputs": [{"path": "/proc/x", "url": ""}]}, "can't be there"),
        ({**TASK, "outputs": [{"path": "/inputs/x", "url": ""}]}, "can't be there"),
        ({**TASK, "outputs": [{"path": "/o/x", "url": ""}] * (limits.OUTPUT_PATTERNS + 1)}, "(outputs)"),
        ({**TASK, "volumes": ["data"]}, "(volumes[0])"),
        ({"executors": [{**EXECUTOR, "stdout": "/x"}]}, "a file directly below / can't be kept"),
        ({"executors": [{**EXECUTOR, "stdin": "x"}]}, "(executors[0].stdin)"),
        ({"executors": [{**EXECUTOR, "workdir": "x"}]}, "(executors[0].workdir)"),
        ({**TASK, "resources": {"zones": ["a"]}}, "(resources.zones)"),
        ({**TASK, "resources": {"cpu_cores": -1}}, "(resources.cpu_cores)"),
        ({**TASK, "resources": {"ram_gb": limits_of.GB + 1}}, "(resources.ram_gb)"),
        ({**TASK, "resources": {"backend_parameters": {"gpus": "many"}}}, "gpus is a whole number"),
        ({**TASK, "resources": {"backend_parameters": {"max_duration": "x"}}}, "backend_parameters.max_duration)"),
        ({**TASK, "resources": {"cpu_cores": 0.0001}}, "(resources.cpu_cores)"),
        ({**TASK, "resources": {"backend_parameters": {"gpus": "99999"}}}, "(resources.backend_parameters.gpus)"),
        ({**TASK, "resources": {"backend_parameters": {"worker_tags": "x" * 999}}}, "backend_parameters.worker_tags)"),
        ({"executors": [EXECUTOR, {**EXECUTOR, "command": ["a\0"]}]}, "(executors[1].command)"),
        ({"executors": [EXECUTOR, {**EXECUTOR, "image": "a b"}]}, "(executors[1].image)"),
        ({"executors": [{**EXECUTOR, "env": {"A=": "x"}}]}, "(executors[0].env)"),
        ({"executors": [{**EXECUTOR, "stdin": "/a\nb"}]}, "(executors[0].stdin)"),
        ({**TASK, "inputs": [{"path": "/b", "content": "x"}, {"path": "/a:b", "content": "x"}]}, "(inputs[1].path)"),
        ({**TASK, "inputs": [{"path": "//b.c/", "url": "https://"}]}, "(inputs[0].url)"),
        ({**TASK, "outputs": [{"path": "/o/a\nb", "url": ""}]}, "(outputs)"),
        ({**TASK, "volumes": ["/v", "/proc/v"]}, "(volumes)"),
        (
            {**TASK, "resources": {"backend_parameters": {"VmSize": "x"}, "backend_parameters_strict": True}},
            "'vmsize' means nothing here",
        ),
        ({**TASK, "tags": {"asman.reuse": "always"}}, "(tags.asman.reuse)"),
        ({**TASK, "tags": {"a": 1}}, "(tags"),
        ({**TASK, "name": "x" * (limits_of.NAME_LENGTH + 1)}, "(name)"),
        ({**TASK, "description": "x" * (limits_of.TEXT_LENGTH + 1)}, "(description)"),
        ({**TASK, "tags": {str(n): "" for n in range(limits_of.TAGS + 1)}}, "(tags)"),
        (b"{", "not JSON"),
        (b'{"executors": [{"image": "a", "command": ["\\ud800"]}]}', "half"),
    ],
)
async def test_it_is_refused_in_a_sentence(door: TesDoor, task: Any, says: str) -> None:
    assert says in await door.refused(task)
    assert (await door.ask("GET", "/tasks"))[1] == {"tasks": []}


async def test_what_means_nothing_here_is_not_shown_again(door: TesDoor) -> None:
    resources = {"backend_parameters": {"VmSize": "x", "GPUS": "1"}, "cpu_cores": 1}
    found = await door.get(await door.create({**TASK, "resources": resources}))
    assert found["resources"] == {"backend_parameters": {"GPUS": "1"}, "cpu_cores": 1}


async def test_the_content_of_an_input_comes_before_its_address_and_is_shown_again(door: TesDoor) -> None:
    body = b"bytes that the hub has"
    key = hashlib.sha256(body).hexdigest()
    async with door.session.put(f"{door.url.partition('/q/')[0]}/f/{key}", data=io.BytesIO(body)) as response:
        assert response.ok
    inputs = [
        {"path": "/a", "content": "text", "url": "https://h/x"},
        {"path": "/b", "content": "x" * 200_000, "url": f"key:{'b' * 64}"},
        {"path": "/c", "url": f"key:{key}"},
    ]
    made = await door.create({**TASK, "inputs": inputs})
    assert (await door.get(made))["inputs"] == inputs


async def test_a_file_that_the_hub_does_not_store_is_refused_at_once(door: TesDoor) -> None:
    inputs = [{"path": "/a", "content": "x" * 200_000}, {"path": "/b", "url": f"key:{'b' * 64}"}]
    said = await door.refused({**TASK, "inputs": inputs})
    assert said.startswith(f"this hub does not store the blob key:{'b' * 64}: upload it first")
    assert said.endswith("(inputs[1].url)")
    assert (await door.ask("GET", "/tasks"))[1] == {"tasks": []}


@pytest.mark.parametrize("at", [NEWER, OLDER])
async def test_what_a_door_has_not_is_refused_by_its_status(door: TesDoor, at: str) -> None:
    made = await door.create(TASK)
    for method, path, status in (
        ("DELETE", f"/tasks/{made}", 405),
        ("POST", f"/tasks/{made}", 405),
        ("PUT", "/tasks", 405),
        ("POST", "/service-info", 405),
        ("POST", f"/tasks/{made}:stop", 405),
        ("POST", "/tasks/:cancel", 405),
        ("GET", f"/tasks/{made}:cancel", 404),
        ("GET", f"/tasks/{made.upper()}", 404),
        ("GET", f"/tasks/{made[:-1]}", 404),
        ("GET", f"/tasks/{'a' * 5000}", 404),
        ("GET", "/tasks/%00", 404),
        ("POST", "/tasks/service-info:cancel", 404),
        ("GET", "/nothing", 404),
    ):
        found, answer = await door.ask(method, path, at=at)
        assert (found, answer["status_code"]) == (status, status), (method, path)
        assert set(answer) == {"msg", "status_code", "code"}
        assert answer["code"] == {404: "not_found", 405: "bad_request"}[status]
    assert (await door.get(made, "MINIMAL", at=at))["state"] == "INITIALIZING"
    assert await door.ask("POST", f"/tasks/{made}%3Acancel", at=at) == (200, {})
    assert (await door.get(made, "minimal", at=at))["state"] == "CANCELED"


async def test_the_largest_that_may_be_is_taken(door: TesDoor) -> None:
    made = {
        "executors": [EXECUTOR] * (limits.STEPS + 1),
        "name": "x" * limits_of.NAME_LENGTH,
        "description": "x" * limits_of.TEXT_LENGTH,
        "tags": {str(n): "" for n in range(limits_of.TAGS)},
        "inputs": [{"path": f"/i/{n}", "content": "x" * 200_000} for n in range(10)],
        "outputs": [{"path": f"/o/{n}", "url": ""} for n in range(limits.OUTPUT_PATTERNS)],
    }
    found = await door.get(await door.create(made))
    assert {name: found[name] for name in made} == made
