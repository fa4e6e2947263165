"""Each finding about real clients, held by what goes over the wire; docs/tes.md tells of the clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asman_server.tes.endpoint import problem
from asman_server.tes.states import ASKED
from asman_shared.errors import AsmanError, Overloaded, Unavailable
from asman_shared.keys.derived import KeyKind, derived_keys
from devtools.asman_processes import HubProcess
from devtools.patience import PATIENCE
from tests.integration.server.tes.conftest import QUEUE
from tests.support.plain_worker import plain_worker
from tests.support.tes_door import NEWER, OLDER, OVER, TesDoor, tes_door

PLAIN: dict[str, Any] = {"executors": [{"image": "alpine", "command": ["true"]}]}
STATES = {"INITIALIZING", "RUNNING", *OVER}
KNOWN = {
    "task": {"id", "state", "name", "description", "inputs", "outputs", "resources", "executors", "volumes", "tags",
             "logs", "creation_time"},
    "log": {"logs", "metadata", "start_time", "end_time", "outputs", "system_logs"},
    "executor": {"start_time", "end_time", "stdout", "stderr", "exit_code"},
    "output": {"url", "path", "size_bytes"},
}  # fmt: skip
"""The members that the oldest client knows."""
NULLS: dict[str, Any] = {
    "id": None, "state": None, "logs": None, "creation_time": None, "name": None, "description": None, "volumes": None,
    "tags": None, "outputs": None,
    "inputs": [{"name": None, "description": None, "url": None, "path": "/in/x", "type": "FILE", "content": "x"}],
    "resources": {"cpu_cores": None, "preemptible": None, "ram_gb": None, "disk_gb": None, "zones": None,
                  "backend_parameters": None, "backend_parameters_strict": False},
    "executors": [{"image": "alpine", "command": ["true"], "workdir": None, "stdin": None, "stdout": None,
                   "stderr": None, "env": None}],
}  # fmt: skip
"""A task as pydantic-tes posts it."""


async def listed(door: TesDoor, query: str = "") -> list[str]:
    status, answer = await door.ask("GET", f"/tasks?{query}")
    assert status == 200, answer
    assert set(answer) <= {"tasks", "next_page_token"}
    return [each["id"] for each in answer["tasks"]]


def nothing_empty(value: Any, place: str = "") -> None:
    """Checks that there is no null, and no empty time or state."""
    assert value is not None, place
    if isinstance(value, dict):
        for name, each in value.items():
            assert each != "" or not name.endswith(("_time", "state")), f"{place}.{name}"
            nothing_empty(each, f"{place}.{name}")
    if isinstance(value, list):
        for each in value:
            nothing_empty(each, f"{place}[]")


def only_known(task: dict[str, Any]) -> None:
    """Checks that the oldest client knows each member."""
    assert set(task) <= KNOWN["task"], task
    for log in task.get("logs", ()):
        assert set(log) <= KNOWN["log"], log
        assert all(isinstance(each, str) for each in log.get("metadata", {}).values())
        for each in log["logs"]:
            assert set(each) <= KNOWN["executor"], each
        for each in log["outputs"]:
            assert set(each) == KNOWN["output"]
            assert all(isinstance(text, str) for text in each.values())


async def test_01_a_repetition_at_the_other_address_is_the_same_task(door: TesDoor) -> None:
    first = await door.create(PLAIN, at=NEWER)
    assert await door.create(PLAIN, at=OLDER) == first
    second = await door.create(PLAIN, at=NEWER)
    assert second != first
    assert await door.create(PLAIN, at=NEWER) not in (first, second)
    assert await door.create({**PLAIN, "name": "other"}, at=OLDER) not in (first, second)
    assert len(await listed(door)) == 4


def test_01_what_can_be_tried_again_is_never_told_by_a_status_that_sends_clients_elsewhere() -> None:
    errors: list[AsmanError] = [Unavailable("away"), Overloaded("full")]
    for error in errors:
        answer = problem(error)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")


async def test_02_the_older_address_has_all_and_the_service_is_no_task(door: TesDoor) -> None:
    made = await door.create(PLAIN, at=OLDER)
    for at in (NEWER, OLDER):
        assert (await door.get(made, "MINIMAL", at=at))["id"] == made
        assert (await door.ask("GET", "/tasks", at=at))[1]["tasks"] == [{"id": made, "state": "INITIALIZING"}]
        assert (await door.ask("GET", "/tasks/service-info", at=at))[1]["name"] == "Asman"
    for at in (NEWER, OLDER):
        assert await door.ask("POST", f"/tasks/{made}:cancel", at=at) == (200, {})


async def test_03_each_generation_gets_the_service_in_its_own_form(door: TesDoor) -> None:
    for at in (NEWER, OLDER):
        older = (await door.ask("GET", "/tasks/service-info", at=at))[1]
        assert set(older) == {"name", "doc", "storage"}
        newer = (await door.ask("GET", "/service-info", at=at))[1]
        assert newer["type"] == {"group": "org.ga4gh", "artifact": "tes", "version": "1.1.0"}
        assert newer["tesResources_backend_parameters"] == ["gpus", "max_duration", "worker_tags"]
        assert newer["storage"] == older["storage"] == []
        nothing_empty([older, newer])


@pytest.mark.parametrize("header", ["Basic Tm9uZTpOb25l", "Basic !", "Bearer x", "Bearer", "Negotiate x"])
async def test_04_credentials_do_not_matter_where_the_address_is_the_key(door: TesDoor, header: str) -> None:
    sent = {"Authorization": header}
    status, made = await door.ask("POST", "/tasks", PLAIN, at=OLDER, headers=sent)
    assert status == 200
    assert (await door.ask("GET", f"/tasks/{made['id']}", at=OLDER, headers=sent))[0] == 200


async def test_05_and_06_a_task_is_only_in_states_that_every_client_reads_and_waiting_is_initializing(
    hub: HubProcess, door: TesDoor
) -> None:
    made = await door.create(PLAIN)
    seen = [(await door.get(made, "MINIMAL"))["state"]]
    assert await listed(door, "state=QUEUED") == await listed(door, "state=INITIALIZING") == [made]
    async with plain_worker(hub.url, QUEUE) as worker:
        about = await worker.assigned()
        for phase in ("staging", "pulling", "running", "uploading"):
            await worker.phase(about, phase)
            await door.until(made, "RUNNING" if phase in ("running", "uploading") else "INITIALIZING")
            seen.append((await door.get(made, "BASIC"))["state"])
        await worker.finish(about)
        seen.append((await door.over(made))["state"])
        running = await door.create(PLAIN)
        await worker.phase(await worker.assigned())
        await door.until(running, "RUNNING")
        assert await door.ask("POST", f"/tasks/{running}:cancel") == (200, {})
        seen.append((await door.get(running))["state"])
    assert seen == ["INITIALIZING"] * 3 + ["RUNNING"] * 2 + ["COMPLETE", "CANCELED"]
    for state in ASKED:
        found = await listed(door, f"state={state}")
        assert found == {"COMPLETE": [made], "CANCELED": [running]}.get(state, [])


async def test_07_nothing_is_null_and_nothing_is_there_that_clients_do_not_know(hub: HubProcess, door: TesDoor) -> None:
    made = await door.create({**PLAIN, "outputs": [{"path": "/o/x", "url": "", "type": "FILE"}]})
    waiting = await door.create(PLAIN)
    async with plain_worker(hub.url, QUEUE, tags=["asman:volumes"]) as worker:
        about = await worker.assigned()
        await worker.log(about, 0, "out")
        skipped = {"o/x": "no file matches this pattern"}
        await worker.finish(about, exit_code=2, lines=1, skipped=skipped)
    await door.over(made)
    await door.ask("POST", f"/tasks/{waiting}:cancel")
    for task in (made, waiting):
        for view in ("MINIMAL", "BASIC", "FULL"):
            found = await door.get(task, view)
            nothing_empty(found)
            only_known(found)
    for view in ("MINIMAL", "BASIC", "FULL"):
        page = (await door.ask("GET", f"/tasks?view={view}"))[1]
        nothing_empty(page)
        for each in page["tasks"]:
            only_known(each)
    basic = (await door.get(made, "BASIC"))["executors"]
    assert basic == PLAIN["executors"], "what the client did not send is not there"


async def test_08_nulls_are_absent_and_what_the_server_owns_is_ignored(door: TesDoor) -> None:
    made = await door.create({**NULLS, "id": "mine", "state": "COMPLETE", "logs": [], "creation_time": ""})
    found = await door.get(made)
    assert (found["id"], found["state"]) == (made, "INITIALIZING")
    assert "logs" not in found
    nothing_empty(found)
    assert found["executors"] == PLAIN["executors"]
    assert found["resources"] == {"backend_parameters_strict": False}
    await door.create(NULLS, at=OLDER)


async def test_09_a_minimal_task_is_its_id_and_state(door: TesDoor) -> None:
    made = await door.create({**PLAIN, "name": "n"})
    assert await door.get(made, "MINIMAL") == {"id": made, "state": "INITIALIZING"}
    assert (await door.ask("GET", f"/tasks/{made}"))[1] == {"id": made, "state": "INITIALIZING"}


async def test_11_an_ended_task_can_be_cancelled_and_is_found(hub: HubProcess, door: TesDoor) -> None:
    made = await door.create(PLAIN)
    async with plain_worker(hub.url, QUEUE) as worker:
        await worker.finish(await worker.assigned())
    for _ in range(2):
        assert await door.ask("POST", f"/tasks/{made}:cancel") == (200, {})
    assert (await door.get(made, "MINIMAL"))["state"] == "COMPLETE"
    for unknown in ("0" * 64, "nothing"):
        status, answer = await door.ask("POST", f"/tasks/{unknown}:cancel")
        assert (status, answer["code"]) == (404, "not_found")


async def test_only_the_last_attempt_of_a_task_is_shown_by_what_it_wrote(hub: HubProcess, door: TesDoor) -> None:
    made = await door.create(PLAIN)
    async with plain_worker(hub.url, QUEUE) as worker:
        lost = await worker.assigned()
        await worker.phase(lost)
        await worker.log(lost, 0, "of the lost attempt", "too")
        await door.until(made, "RUNNING")
    async with plain_worker(hub.url, QUEUE) as worker:  # which knows nothing of the attempt that it had
        about = await worker.assigned()
        assert about["attempt"] > lost["attempt"]
        first = worker.log_next
        assert first == 2
        await worker.log(about, first, "of the last attempt")
        await worker.finish(about, lines=first + 1)
    (log,) = (await door.over(made))["logs"]
    assert [each["stdout"] for each in log["logs"]] == ["of the last attempt\n"]
    await asyncio.to_thread(hub.restart)
    (log,) = (await door.get(made))["logs"]
    assert [each["stdout"] for each in log["logs"]] == ["of the last attempt\n"]


async def test_14_an_ended_task_has_a_log_even_if_it_never_began(door: TesDoor) -> None:
    made = await door.create(PLAIN)
    await door.ask("POST", f"/tasks/{made}:cancel")
    (log,) = (await door.get(made, "BASIC"))["logs"]
    assert (log["logs"], log["outputs"]) == ([], [])
    assert "end_time" in log


@pytest.mark.parametrize("url", ["s3://b/x", "gs://b/x", "ftp://h/x", "/srv/x", "srv", "key:12"])
async def test_15_what_can_not_be_read_or_written_is_refused_at_once(door: TesDoor, url: str) -> None:
    said = await door.refused({**PLAIN, "inputs": [{"path": "/x", "url": url}]})
    assert said.endswith("(inputs[0].url)")
    said = await door.refused({**PLAIN, "outputs": [{"path": "/o/x", "url": url}]})
    assert said.endswith("(outputs[0].url)")
    assert await listed(door) == []


async def test_16_polls_are_answered_however_many_there_are(door: TesDoor) -> None:
    made = await door.create(PLAIN)
    async with asyncio.timeout(PATIENCE):
        polls = [door.ask("GET", f"/tasks/{made}?view=MINIMAL") for _ in range(200)]
        assert {status for status, _ in await asyncio.gather(*polls)} == {200}


async def test_16_only_a_token_leads_to_the_next_page(door: TesDoor) -> None:
    made = [await door.create({**PLAIN, "name": f"n{number}"}) for number in range(5)]
    found: list[str] = []
    token = ""
    pages = 0
    while True:
        page = (await door.ask("GET", f"/tasks?page_size=2&page_token={token}"))[1]
        found += [each["id"] for each in page["tasks"]]
        pages += 1
        token = page.get("next_page_token", "")
        if not token:
            break
    assert found == made[::-1]
    assert pages == 3


async def test_a_list_of_large_tasks_is_read_in_pages_that_a_hub_can_hold(door: TesDoor) -> None:
    def tagged(number: int, tags: int) -> dict[str, Any]:
        return {**PLAIN, "name": f"n{number}", "tags": {f"t{index}": "x" * 4000 for index in range(tags)}}

    assert "at most 512 KiB without the contents of its inputs" in await door.refused(tagged(0, 200))
    made = [await door.create(tagged(number, 120)) for number in range(12)]
    assert await listed(door) == made[::-1]
    for view in ("BASIC", "FULL"):
        found: list[str] = []
        token = ""
        pages = 0
        while pages == 0 or token:
            page = (await door.ask("GET", f"/tasks?view={view}&page_token={token}"))[1]
            found += [each["id"] for each in page["tasks"]]
            token = page.get("next_page_token", "")
            pages += 1
        assert (found, pages) == (made[::-1], 2)


async def test_lists_can_be_filtered(hub: HubProcess, door: TesDoor) -> None:
    one = await door.create({**PLAIN, "name": "align-1", "tags": {"run": "a", "lane": "1"}})
    two = await door.create({**PLAIN, "name": "align-2", "tags": {"run": "b", "lane": ""}})
    three = await door.create({**PLAIN, "name": "sort"})
    assert await listed(door, "name_prefix=align") == [two, one]
    assert await listed(door, "tag_key=run") == [two, one]
    assert await listed(door, "tag_key=run&tag_value=a") == [one]
    assert await listed(door, "tag_key=run&tag_value=b&tag_key=lane") == [two]
    assert await listed(door, "tag_key=run&tag_value=&tag_key=lane&tag_value=1") == [one]
    assert await listed(door, "tag_key=none") == []
    assert await listed(door, "name_prefix=s&state=QUEUED") == [three]
    assert await listed(door, "name_prefix=align&page_size=1") == [two]
    assert [each["name"] for each in (await door.ask("GET", "/tasks?view=FULL"))[1]["tasks"]] == [
        "sort",
        "align-2",
        "align-1",
    ]
    for wrong in ("state=DONE", "view=ALL", "page_size=-1", "page_size=2048", "page_token=x", "tag_key=a&" * 21,
                  "tag_value=a", "page_size=", "page_token=-1", f"page_token={2**63}"):  # fmt: skip
        assert (await door.ask("GET", f"/tasks?{wrong}"))[0] == 400, wrong


async def test_jobs_of_other_doors_are_no_tasks_of_the_list_but_can_be_read(hub: HubProcess, door: TesDoor) -> None:
    body = b'{"definition": {"image": "alpine", "command": "echo 1"}}'
    async with door.session.post(f"{door.url}/jobs", data=body) as response:
        made = (await response.json())["job"]["id"]
    assert await listed(door) == []
    found = await door.get(made)
    assert found["executors"] == [{"image": "alpine", "command": ["/bin/sh", "-c", "echo 1"]}]


async def test_tasks_outlive_the_hub(hub: HubProcess, door: TesDoor) -> None:
    made = await door.create({**PLAIN, "name": "kept", "inputs": [{"path": "/a", "content": "b" * 5000}]})
    before = await door.get(made)
    await asyncio.to_thread(hub.restart)
    assert await door.get(made) == before
    assert before["inputs"][0]["content"] == "b" * 5000
    assert await listed(door, "name_prefix=kept") == [made]


async def test_a_deleted_task_is_gone(door: TesDoor) -> None:
    made = await door.create(PLAIN)
    async with door.session.delete(f"{door.url}/jobs/{made}") as response:
        assert response.status == 200
    assert (await door.ask("GET", f"/tasks/{made}"))[0] == 404
    assert await listed(door) == []


async def test_a_queue_that_nobody_has_used_has_no_tasks_and_a_service(door: TesDoor) -> None:
    assert await listed(door) == []
    assert (await door.ask("GET", "/service-info"))[0] == 200
    assert (await door.ask("GET", f"/tasks/{'0' * 64}"))[0] == 404


async def test_a_key_sees_and_does_no_more_than_it_grants(hub: HubProcess, door: TesDoor) -> None:
    executor = {"image": "alpine", "command": ["true"], "env": {"TOKEN": "secret"}}
    task = {"executors": [executor], "inputs": [{"path": "/x", "content": "secret"}], "tags": {"t": "secret"}}
    made = await door.create(task)
    keys = derived_keys(QUEUE)
    async with tes_door(hub.queue(keys[KeyKind.READ])) as reader, tes_door(hub.queue(keys[KeyKind.SUBMIT])) as sender:
        for view in ("MINIMAL", "BASIC", "FULL"):
            assert "secret" not in str(await reader.get(made, view))
            assert "secret" not in str(await reader.ask("GET", f"/tasks?view={view}"))
        assert (await reader.get(made))["executors"] == [{**executor, "env": {"TOKEN": ""}}]
        assert (await reader.ask("POST", "/tasks", task))[0] == 403
        assert (await reader.ask("POST", f"/tasks/{made}:cancel"))[0] == 403
        status, answer = await sender.ask("GET", f"/tasks/{made}")
        assert (status, answer["status_code"]) == (403, 403)
        own = await sender.create(PLAIN)
        assert await sender.ask("POST", f"/tasks/{own}:cancel") == (200, {})
