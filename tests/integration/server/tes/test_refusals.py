"""What is not supported is refused when the task is created, in a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asman_server.tes import task as limits_of
from asman_shared import limits
from tests.support.tes_door import TesDoor

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
        ({**TASK, "resources": {"backend_parameters": {"max_duration": "x"}}}, "maxDuration"),
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
