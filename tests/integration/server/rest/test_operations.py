"""The queue over plain HTTP, on a real hub with a worker that does as it is told."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from devtools.asman_processes import HubProcess
from tests.support.api import Api, opened_api
from tests.support.plain_worker import plain_worker

NOBODY = "0" * 64


def metric(text: str, name: str, **labels: str) -> float:
    """The value of one sample."""
    wanted = "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else ""
    for line in text.splitlines():
        if line.startswith(f"{name}{wanted} "):
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"there is no sample {name}{wanted}")


async def test_lines_that_are_not_kept_are_said(api: Api, hub: HubProcess) -> None:
    job = await api.submit("gaps")
    async with plain_worker(hub.url, "gaps") as worker:
        about = await worker.assigned()
        await worker.log(about, 0, "zero")
        await worker.log(about, 5, "five")
        await worker.finish(about, lines=9)
    page = (await api.get(f"/q/gaps/jobs/{job}/log")).json
    assert page["gaps"] == [{"since": 1, "until": 5}, {"since": 6, "until": 9}]
    assert (page["next"], page["final"]) == (9, True)
    text = await api.get(f"/q/gaps/jobs/{job}/log", headers={"Accept": "text/plain"})
    assert text.text == "zero\n[4 lines are no longer kept]\nfive\n[3 lines are no longer kept]\n"


async def test_json_is_taken_whatever_it_claims_to_be(api: Api) -> None:
    body = json.dumps({"definition": {"image": "a"}}).encode()
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Content-Type": kind} if kind else {}
        skip = [] if kind else ["Content-Type"]
        assert (await api.post("/q/t/jobs", data=body, headers=headers, skip_auto_headers=skip)).status < 300, kind


GARBAGE: list[tuple[bytes, str]] = [
    (b"", ""),
    (b"\xff\xfe", ""),
    (b"{", ""),
    (b"[]", ""),
    (b"{}", ""),
    (b"[" * 100_000, ""),
    (b'{"definition": 3}', "definition"),
    (b'{"definition": {"image": 3}}', "definition.image"),
    (b'{"definition": {"image": "a"}, "nonsense": 1}', ""),
    (b'{"definition": {"image": "a"}, "namespace": ""}', "namespace"),
    (b'{"definition": {"image": "a"}, "namespace": "*"}', "namespace"),
    (b'{"definition": {"image": "a"}, "priority": 1000}', "priority"),
    (b'{"definition": {"image": "a"}, "time_limit": "20"}', "time_limit"),
    (b'{"definition": {"image": "a"}, "time_limit": 0}', "time_limit"),
    (b'{"definition": {"image": "a"}, "time_limit": ""}', "time_limit"),
    (b'{"definition": {"image": "a"}, "queue_limit": "0s"}', "queue_limit"),
    (b'{"definition": {"image": "a"}, "phase_limits": {"pulling": 0}}', "phase_limits.pulling"),
    (b'{"definition": {"image": "a"}, "id": "' + b"0" * 64 + b'"}', "id"),
    (b'{"definition": {"image": "a", "requirements": {"memory": "2"}}}', "definition.requirements.memory"),
]


async def test_garbage_is_refused_with_a_sentence_and_its_field(api: Api) -> None:
    for body, field in GARBAGE:
        answer = await api.post("/q/g/jobs", data=body)
        assert answer.status == 400, body[:80]
        assert answer.json["error"]
        assert answer.json.get("field", "") == field
    assert (await api.get("/q/g/status")).json["counts"]["queued"] == 0


WRONG = [
    "jobs?limit=0",
    "jobs?limit=501",
    "jobs?limit=x",
    "jobs?before=-1",
    "jobs?state=Sleeping",
    "jobs/short",
    f"jobs/{NOBODY}/wait?timeout=5",
    f"jobs/{NOBODY}/wait?timeout=1d",
    f"jobs/{NOBODY}/log?since=" + "9" * 30,
    f"jobs/{NOBODY}/log?stream=stdin",
    f"jobs/{NOBODY}/events?last_event_id=soon",
]


async def test_wrong_questions_name_their_field(api: Api) -> None:
    await api.submit("wrong")
    for query in WRONG:
        answer = await api.get(f"/q/wrong/{query}")
        assert answer.status == 400, query
        assert answer.json["field"]


async def test_a_huge_body_is_refused_however_it_is_sent(api: Api) -> None:
    huge = b'{"definition": {"image": "' + b"a" * (5 * 1024 * 1024) + b'"}}'

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(huge), 65536):
            yield huge[at : at + 65536]

    for data in (io.BytesIO(huge), chunks()):
        answer = await api.post("/q/h/jobs", data=data)
        assert answer.status == 413
        assert answer.json["code"] == "too_large"
        assert "4 MiB" in answer.json["error"]
    long = json.dumps({"definition": {"image": "a", "command": ["x" * 100_000] * 11}}).encode()
    answer = await api.post("/q/h/jobs", data=io.BytesIO(long))
    assert (answer.status, answer.json["field"]) == (413, "definition")
    assert (await api.get("/q/h/status")).json["counts"]["queued"] == 0


async def test_names_that_are_none_methods_that_are_not_taken_and_addresses_that_are_not_there(api: Api) -> None:
    assert (await api.get("/q/a%23b/status")).json["field"] == "queue"
    for method, path, status, code in (
        ("GET", "/nothing", 404, "not_found"),
        ("PATCH", "/metrics", 405, "bad_request"),
        ("OPTIONS", "/q/x/jobs", 204, None),
    ):
        async with api.session.request(method, api.url + path) as response:
            assert response.status == status
            assert "DELETE" in response.headers["Access-Control-Allow-Methods"]
            assert code is None or (await response.json())["code"] == code


async def test_metrics_tell_the_hub_and_the_queue_and_never_a_name(api: Api, hub: HubProcess) -> None:
    ids = [await api.submit("secret-queue", f"a{n}") for n in range(4)]
    short = await api.short_name("secret-queue")
    await api.post("/q/secret-queue/jobs", {"definition": {"image": "big", "requirements": {"gpus": 1}}})
    await api.post(f"/q/secret-queue/jobs/{ids[3]}/cancel")
    async with plain_worker(hub.url, "secret-queue", cpus=2, memory=2**30) as worker:
        first, second = await worker.assigned(), await worker.assigned()
        await worker.finish(first)
        third = await worker.assigned()
        await worker.finish(second, 3)
        text = (await api.get("/metrics")).text
        queue = (await api.get("/q/secret-queue/metrics")).text
        await worker.finish(third)
    assert "secret-queue" not in text + queue
    for found, name in ((text, "asman_jobs_finished_total"), (queue, "asman_queue_runs_finished_total")):
        label = {"queue": short} if found is queue else {}
        for reason in ("Success", "Failed", "Cancelled"):
            assert metric(found, name, **label, reason=reason) == 1
    assert metric(text, "asman_jobs_running") == 1
    assert metric(text, "asman_jobs_queued") == 1
    assert metric(text, "asman_job_wait_seconds_count") == 3
    assert metric(text, "asman_job_run_seconds_count") == 2
    assert metric(text, "asman_connections", kind="worker") == 1
    assert metric(text, "asman_commit_seconds_count") > 0
    assert metric(text, "asman_outbox_overflows_total") == 0
    assert metric(queue, "asman_queue_workers", queue=short, state="ready") == 1
    assert metric(queue, "asman_queue_free_cpus", queue=short) == 1
    assert metric(queue, "asman_queue_free_memory_bytes", queue=short) == 2**30
    assert metric(queue, "asman_queue_shape_queued", queue=short, shape="cpus=1 gpus=1") == 1
    assert metric(queue, "asman_queue_shape_room", queue=short, shape="cpus=1 gpus=1") == 0
    assert metric(queue, "asman_queue_job_wait_seconds_count", queue=short) == 3


async def test_curl_alone_is_enough(hub: HubProcess) -> None:
    """What the README shows."""

    def curl(*words: str) -> str:
        done = subprocess.run(["curl", "-sS", *words], capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    queue = f"{hub.url}/q/curl"
    answer = json.loads(await asyncio.to_thread(curl, f"{queue}/jobs", "-d", '{"definition": {"image": "alpine"}}'))
    job = f"{queue}/jobs/{answer['job']['id']}"
    waiting = asyncio.create_task(asyncio.to_thread(curl, f"{job}/wait"))
    async with plain_worker(hub.url, "curl") as worker:
        about = await worker.assigned()
        await worker.log(about, 0, "hello")
        outputs: dict[str, Any] = {"o.txt": {"ref": {"type": "utf8", "value": "made"}, "size": 4, "sha256": "x"}}
        await worker.finish(about, lines=1, outputs=outputs)
    assert json.loads(await waiting)["verdict"]["ok"] is True
    assert await asyncio.to_thread(curl, "-H", "Accept: text/plain", f"{job}/log") == "hello\n"
    assert await asyncio.to_thread(curl, f"{job}/outputs/o.txt") == "made"


async def test_a_browser_may_ask_from_anywhere(api: Api) -> None:
    headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "DELETE"}
    async with api.session.options(f"{api.url}/q/x/jobs/{NOBODY}", headers=headers) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    with pytest.raises(aiohttp.ClientResponseError):
        async with api.session.get(f"{api.url}/q/x/jobs/{NOBODY}", raise_for_status=True):
            pass


async def test_the_metrics_of_the_hub_are_for_its_own_machine_or_for_its_token(
    hub_process: Callable[..., HubProcess], tmp_path: Path
) -> None:
    for token, allowed in ("", {}), ("a-token", {"Authorization": "Bearer a-token"}):
        settings = tmp_path / "hub.toml"
        settings.write_text(f'metrics_token = "{token}"\n')
        hub = await asyncio.to_thread(hub_process, "--config", str(settings))
        port = hub.url.rpartition(":")[2]
        async with opened_api(hub.url) as api:
            await api.post("/q/tagged/jobs", {"definition": {"image": "a", "tags": ["word-of-a-user"]}})
            answer = await api.get("/metrics", headers=allowed)
            assert answer.status == 200
            assert "word-of-a-user" not in answer.text
            assert "word-of-a-user" in (await api.get("/q/tagged/metrics")).text
            refused = [
                {"Authorization": "Bearer another"},
                {"Authorization": "Basic a-token"},
                {"X-Forwarded-For": "203.0.113.7"},
                {"Via": "1.1 proxy"},
                {"Host": f"hub.example:{port}"},
                {"Origin": "https://page.example"},
                {"Sec-Fetch-Site": "cross-site"},
            ]
            for headers in refused[: 2 if allowed else None][0 if allowed else 2 :]:
                answer = await api.get("/metrics", headers=headers)
                assert (answer.status, answer.json["code"]) == (403, "forbidden"), headers
                assert "token" in answer.json["error"].lower()


async def test_a_browser_at_an_unknown_address_is_shown_a_page_and_a_program_json(hub: HubProcess) -> None:
    asks = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with aiohttp.ClientSession() as session:
        for path, up in (("/nothing", "./"), ("/deep/er/nothing", "../../")):
            async with session.get(f"{hub.url}{path}", headers=asks) as shown:
                assert (shown.status, shown.content_type) == (404, "text/html")
                text = await shown.text()
            assert "There is nothing at this address" in text
            assert f'href="{up}"' in text
            async with session.get(f"{hub.url}{path}") as told:
                answer = await told.json()
                assert (told.status, answer["code"]) == (404, "not_found")
                assert answer["error"] == "there is nothing at this address"
