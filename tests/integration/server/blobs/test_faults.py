"""A store of blobs that is away, or refuses for good, is found at start, told on /readyz, and never as "try again"."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable

import pytest
from aiohttp import web

from asman_server.blobs import S3Store
from asman_server.clock import wall_clock
from asman_shared.errors import Misconfigured
from devtools.asman_processes import HubProcess, asman_command, clean_environment
from devtools.patience import PATIENCE
from tests.support.api import Api, opened_api
from tests.support.plain_worker import plain_worker
from tests.support.s3 import S3Server
from tests.support.s3_door import opened_door, refusal

KEY = "a" * 64
NO_BUCKET = "the bucket for blobs does not exist; the hub's operator must create it"


async def readiness(api: Api) -> tuple[int, str]:
    async with api.session.get(f"{api.url}/readyz") as answer:
        return answer.status, await answer.text()


async def until(api: Api, status: int) -> str:
    """Waits for a status of /readyz; /healthz is 200 all the time."""
    async with asyncio.timeout(PATIENCE):
        while True:
            assert (await api.get("/healthz")).status == 200
            found, text = await readiness(api)
            if found == status:
                return text
            await asyncio.sleep(0.1)


async def test_a_storage_that_is_away_makes_the_hub_unready_until_it_is_back(
    s3: S3Server, hub_process: Callable[..., HubProcess]
) -> None:
    address = f"s3://{s3.new_bucket()}/p"
    hub = await asyncio.to_thread(lambda: hub_process("--blobs", address, environment=s3.environment))
    async with opened_api(hub.url) as api:
        assert await readiness(api) == (200, "OK")
        await asyncio.to_thread(s3.kill)
        assert "the storage for blobs" in await until(api, 503)
        await asyncio.to_thread(s3.start)
        assert await until(api, 200) == "OK"


async def test_a_folder_that_can_not_be_written_makes_the_hub_unready_until_it_can(
    hub_process: Callable[..., HubProcess],
) -> None:
    hub = await asyncio.to_thread(hub_process)
    incoming = hub.data / "blobs" / "incoming"
    async with opened_api(hub.url) as api:
        assert await readiness(api) == (200, "OK")
        incoming.rename(incoming.with_name("away"))
        assert await until(api, 503) == "the folder for blobs can't be written: No such file or directory"
        incoming.with_name("away").rename(incoming)
        await until(api, 200)
        assert list(incoming.iterdir()) == []


async def test_a_bucket_that_is_missing_is_an_error_from_the_start(
    s3: S3Server, hub_process: Callable[..., HubProcess]
) -> None:
    hub = await asyncio.to_thread(
        lambda: hub_process("--blobs", "s3://there-is-no-such-bucket", environment=s3.environment)
    )
    line = json.loads(await asyncio.to_thread(hub.wait_for_output, "the bucket for blobs can't be used"))
    assert (line["level"], line["error"]) == ("error", f"{NO_BUCKET} (trying out: bucket)")
    async with opened_api(hub.url) as api, plain_worker(hub.url, "blobs") as worker:
        assert NO_BUCKET in await until(api, 503)
        for size in (5, 100_000_000):
            await worker.send({"type": "put_blobs", "ref": 1, "blobs": [[KEY, size]]})
            error = await worker.next("error")
            assert (error["code"], error.get("retry", False)) == ("misconfigured", False)
            assert NO_BUCKET in error["message"]


async def examined(store: S3Store) -> dict[str, str]:
    """What fails when a bucket is tried out."""
    async with store.connected():
        return {tried.what: tried.sentence async for tried in store.examine() if tried.error is not None}


async def no_list_of_parts(request: web.Request, _body: bytes) -> web.Response | None:
    """Refuses ListParts, as some storages do."""
    if request.method == "GET" and "uploadId" in request.query:
        return refusal(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
    return None


async def test_a_storage_that_does_not_list_parts_is_found_and_large_blobs_are_refused_for_good(
    s3: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = s3.new_bucket()
    async with opened_door(s3, no_list_of_parts) as door:
        store = S3Store(door.settings(bucket), wall_clock)
        failed = await examined(store)
        assert list(failed) == ["multipart"]
        assert "refuses the hub's ListParts (501: A header" in failed["multipart"]
        async with store.open(), asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(store.look_after())
            async with asyncio.timeout(PATIENCE):
                while not (why := await store.fault()):
                    await asyncio.sleep(0.02)
            looking.cancel()
            assert "ListParts" in why
            with pytest.raises(Misconfigured, match="ListParts") as caught:
                await store.begin(KEY, 100_000_000)
            assert not caught.value.retry
            await store.begin(KEY, 10)
    assert any("can't be used" in record.message and record.levelname == "ERROR" for record in caplog.records)
    assert s3.files(bucket) == []


@pytest.mark.parametrize(
    ("method", "query", "step"),
    [("PUT", "", "put"), ("GET", "list-type", "list"), ("POST", "uploads", "multipart"), ("DELETE", "", "delete")],
)
async def test_a_right_that_is_missing_is_named(s3: S3Server, method: str, query: str, step: str) -> None:
    async def refuse(request: web.Request, _body: bytes) -> web.Response | None:
        wanted = query in request.query if query else not request.query_string or "x-id" in request.query
        copies = "x-amz-copy-source" in request.headers
        return refusal(403, "AccessDenied", "no right") if request.method == method and wanted and not copies else None

    async with opened_door(s3, refuse) as door:
        failed = await examined(S3Store(door.settings(s3.new_bucket()), wall_clock))
    assert step in failed
    assert "403: no right" in failed[step]


async def test_a_storage_that_has_no_time_now_is_not_taken_for_broken(s3: S3Server) -> None:
    async def busy(_request: web.Request, _body: bytes) -> web.Response | None:
        return refusal(503, "SlowDown", "reduce your request rate")

    async with opened_door(s3, busy) as door:
        store: S3Store = S3Store(door.settings(s3.new_bucket()), wall_clock)
        async with store.connected():
            (tried,) = [tried async for tried in store.examine()]
            assert (tried.what, tried.permanent) == ("bucket", False)
            assert "try again" in tried.sentence
            await store.begin(KEY, 10)


def doctor(s3: S3Server, bucket: str) -> tuple[int, list[dict[str, str]]]:
    done = subprocess.run(
        [*asman_command(), "doctor", "--executor", "process", "--blobs", f"s3://{bucket}", "--json"],
        capture_output=True,
        env=clean_environment(s3.environment),
        timeout=PATIENCE,
        check=False,
    )
    findings = json.loads(done.stdout)["findings"]
    return done.returncode, [found for found in findings if found["what"].startswith("bucket")]


async def test_the_doctor_tries_a_bucket_out(s3: S3Server) -> None:
    _, findings = await asyncio.to_thread(doctor, s3, s3.new_bucket())
    (found,) = findings
    assert found["mark"] == "ok"
    assert found["says"] == "these work: bucket, put, get, range, checksum, copy, list, multipart, delete"
    code, findings = await asyncio.to_thread(doctor, s3, "there-is-no-such-bucket")
    (found,) = findings
    assert (code, found["mark"], found["says"]) == (125, "problem", NO_BUCKET)
    assert found["remedy"]
