"""Each member of a task and each parameter is fed its bounds, what is beyond them and other types, and answered."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from msgspec import inspect as shape

from asman_server.tes.endpoint import PAGE_MOST
from asman_server.tes.task import NAME_LENGTH, SERVER_OWNED, Task
from asman_shared import half_characters
from devtools.asman_processes import HubProcess
from tests.integration.server.tes.conftest import QUEUE
from tests.support.ranges import NUMBERS, OTHERS, Place, all_edges, named, parts, replaced
from tests.support.tes_door import NEWER, OLDER, TesDoor, tes_door
from tests.support.unharmed import of_database, unharmed

TASK: dict[str, Any] = {
    "executors": [{"image": "a", "command": ["b"]}],
    "inputs": [{"path": "/i/x", "content": "c"}],
    "outputs": [{"path": "/o/x", "url": ""}],
}
KIND = shape.type_info(Task)
HUGE = "huge-beyond-every-number"
"""Stands for a number that JSON can write and no float can hold."""
ODD: tuple[Any, ...] = (*NUMBERS, *OTHERS, HUGE, "x" * 300, [[]], [None], [""], {"": ""}, {"a": None}, "\ud800")


@pytest.fixture(params=["sqlite", "postgres"])
async def hub(request: pytest.FixtureRequest, hub_process: Callable[..., HubProcess]) -> AsyncIterator[HubProcess]:
    async with unharmed(hub_process, *of_database(request)) as started:
        yield started


@pytest.fixture
async def door(hub: HubProcess) -> AsyncIterator[TesDoor]:
    async with tes_door(hub.queue(QUEUE)) as opened:
        yield opened


def cases() -> Iterator[tuple[Place, Any, int | float | None]]:
    """Each part of a task with its edges (and the bound that is broken), and with values of all sorts."""
    for path, info in parts(KIND):
        yield from ((path, value, broken) for value, broken in all_edges(info))
        yield from ((path, value, None) for value in ODD)


def written(path: Place, value: Any) -> bytes:
    """The task with a value at a place, as it goes over the wire."""
    return json.dumps(replaced(TASK, KIND, path, value)).replace(f'"{HUGE}"', "1e999").encode()


async def is_answered(door: TesDoor, method: str, path: str, body: Any = None, *, at: str = NEWER) -> tuple[int, Any]:
    """The answer to a request, which is a task or says in the form of this door why there is none."""
    status, answer = await door.ask(method, path, body, at=at)
    if status != 200:
        assert status in (400, 404, 413), (status, answer)
        assert set(answer) == {"msg", "status_code", "code"}
        assert answer["status_code"] == status
        assert answer["msg"]
        assert answer["code"]
    return status, answer


async def test_every_member_of_a_task_is_held_to_its_range(door: TesDoor) -> None:
    taken: list[str] = []
    refused = 0
    for path, value, broken in cases():
        status, answer = await is_answered(door, "POST", "/tasks", written(path, value))
        case = (named(path), str(value)[:60], broken, answer)
        if status == 200:
            taken.append(answer["id"])
        if broken is not None:
            assert status in (400, 413), case
            refused += 1
            if status == 400:
                assert any(f" ({named(path[:end])}" in answer["msg"] for end in range(1, len(path) + 1)), case
                # A name in a map takes its share of the bound of its value.
                assert str(broken).removesuffix(".0") in answer["msg"] or value == "" or path[-1] == "N", case
        if value == "\ud800" and status == 400 and answer["msg"].startswith(half_characters.SAYS):
            assert "(" in answer["msg"], case
    assert refused > 30
    assert len(taken) > 100
    for task in taken:
        assert (await door.get(task))["state"] == "INITIALIZING"
    listed: list[str] = []
    token = ""
    while True:
        status, page = await door.ask("GET", f"/tasks?view=FULL&page_size=50&page_token={token}")
        assert status == 200, page
        listed += [each["id"] for each in page["tasks"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert listed == taken[::-1]


async def test_what_the_server_owns_may_be_anything(door: TesDoor) -> None:
    for name in SERVER_OWNED:
        for value in ODD:
            body = json.dumps({**TASK, name: value}).replace(f'"{HUGE}"', "1e999").encode()
            status, answer = await is_answered(door, "POST", "/tasks", body)
            readable = value is not HUGE and json.dumps(value) not in ("NaN", "Infinity", "-Infinity")
            assert (status == 200) is (readable and value != "\ud800"), (name, value, answer)


@pytest.mark.parametrize("at", [NEWER, OLDER])
async def test_every_parameter_of_a_list_is_held_to_its_range(door: TesDoor, at: str) -> None:
    made = await door.create(TASK)
    words = [
        *map(str, NUMBERS),
        *map(str, OTHERS),
        "1e3",
        "+1",
        "0x1",
        "１",
        " 1",
        "x" * 300,
        "y" * 8000,
        "%",
        "\ud7ff",
    ]
    for name in ("page_size", "page_token", "state", "view", "name_prefix", "tag_key", "tag_value"):
        for word in words:
            status, answer = await is_answered(door, "GET", f"/tasks?{name}={quote(word)}", at=at)
            if status == 400:
                assert name in answer["msg"], (name, word, answer)
    for size, status in ((-1, 400), (0, 200), (1, 200), (PAGE_MOST, 200), (PAGE_MOST + 1, 400), (2**64, 400)):
        assert (await door.ask("GET", f"/tasks?page_size={size}", at=at))[0] == status, size
    for token, status in ((0, 200), (2**53 - 1, 200), (2**53, 400)):
        assert (await door.ask("GET", f"/tasks?page_token={token}", at=at))[0] == status, token
    for length, status in ((NAME_LENGTH, 200), (NAME_LENGTH + 1, 400)):
        for name in ("name_prefix", "tag_key"):
            assert (await door.ask("GET", f"/tasks?{name}={'x' * length}", at=at))[0] == status, (name, length)
    for each in words:
        status, _ = await is_answered(door, "GET", f"/tasks/{made}?view={quote(each)}", at=at)
        assert status == (200 if each in ("", "MINIMAL") else 400), each
    assert (await door.get(made, "MINIMAL", at=at))["state"] == "INITIALIZING"
