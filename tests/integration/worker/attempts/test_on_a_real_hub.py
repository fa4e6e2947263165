"""Jobs of a real worker on a real hub: their address, and the bytes of their JSON inputs."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from asman_shared import limits
from asman_shared.keys.derived import KeyKind, derived_keys
from devtools.asman_processes import AsmanProcesses, HubProcess, asman
from devtools.engine import Engine
from tests.support.api import opened_api

QUEUE = "attempts-on-a-real-hub"


@pytest.fixture
def hub(
    hub_process: Callable[..., HubProcess], processes: AsmanProcesses, engine: Engine, tmp_path: Path
) -> HubProcess:
    """A hub that shows nothing by an id alone, and a worker that runs containers."""
    assert engine.host
    hub = hub_process()
    more = ("--network", "none", "--local-images", "asman-test/*", "--data-dir", str(tmp_path / "worker"))
    processes.worker(hub.queue(QUEUE), "--executor", "docker", *more)
    return hub


async def test_a_job_is_told_the_address_that_shows_its_result(hub: HubProcess, busybox_image: str) -> None:
    script = 'echo "$JOB_ID $JOB_URL_PREFIX $JOB_INPUTS_URL_PREFIX $JOB_OUTPUTS_URL_PREFIX"; echo made > /outputs/x'
    command = ("run", hub.queue(QUEUE), "-i", busybox_image, "--", "sh", "-c", script)
    ran = await asyncio.to_thread(asman, *command)
    assert ran.returncode == 0, ran.stderr
    job, prefix, inputs, outputs = ran.stdout.split()
    path, _, key = prefix.partition("~")
    assert path == f"{hub.url}/j/{job}"
    assert len(key) == 32
    assert (inputs, outputs) == (f"{prefix}/inputs/", f"{prefix}/outputs/")
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{outputs}x") as answer:
            assert (answer.status, await answer.read()) == (200, b"made\n")
        for other in (path, f"{path}~{'0' * 32}"):
            async with http.get(f"{other}/outputs/x") as answer:
                assert answer.status == 404, other


OWN_FORM = '{"z": 1.0, "a" : [1e2, 0.10, true],\n\t"\\u00e4": "\\/", "A":"caf\\u00e9"}'
CANONICAL = '{"A":"café","a":[100,0.1,true],"z":1,"ä":"/"}'.encode()


@pytest.mark.parametrize("where", ["inputs", "configFiles"])
async def test_json_arrives_in_the_container_as_the_bytes_of_which_the_id_is_made(
    hub: HubProcess, busybox_image: str, where: str
) -> None:
    """In whatever form the caller wrote it, and however long it is."""
    long = json.dumps({f"name {n:04}": n for n in reversed(range(600))}, indent=2)
    long_canonical = json.dumps({f"name {n:04}": n for n in range(600)}, separators=(",", ":")).encode()
    assert len(long_canonical) > limits.INLINE_BYTES
    refs = f'{{"own": {{"type": "json", "value": {OWN_FORM}}}, "long": {{"value": {long}, "type": "json"}}}}'
    command = json.dumps("sha256sum /inputs/own /inputs/long; cp /inputs/own /inputs/long /outputs")
    definition = f'{{"command": {command}, "{where}": {refs}, "image": "{busybox_image}"}}'
    # This is the text whose sha256 is the job's id, written down here by hand.
    members = {
        b"command": command.encode(),
        where.encode(): b'{"long":{"type":"json","value":%b},"own":{"type":"json","value":%b}}'
        % (long_canonical, CANONICAL),
        b"image": f'"{busybox_image}"'.encode(),
    }
    hashed = b"{" + b",".join(b'"%b":%b' % member for member in sorted(members.items())) + b"}"
    async with opened_api(hub.url) as api:
        body = f'{{"definition": {definition}}}'.encode()
        headers = {"Content-Type": "application/json"}
        made = await api.call("POST", f"/q/{QUEUE}/jobs?wait=60s", data=body, headers=headers)
        job = made.json["job"]["id"]
        assert job == hashlib.sha256(hashed).hexdigest()
        waited = await api.get(f"/q/{QUEUE}/jobs/{job}/wait?timeout=60s")
        assert waited.json["verdict"]["exit_code"] == 0, waited.json
        for name, expected in (("own", CANONICAL), ("long", long_canonical)):
            output = await api.get(f"/q/{QUEUE}/jobs/{job}/outputs/{name}")
            assert output.body == expected, name


async def test_a_worker_with_a_work_key_runs_the_containers_of_who_may_submit_and_read(
    hub_process: Callable[..., HubProcess],
    processes: AsmanProcesses,
    engine: Engine,
    busybox_image: str,
    tmp_path: Path,
) -> None:
    assert engine.host
    hub = await asyncio.to_thread(hub_process)
    keys = {kind: hub.queue(key) for kind, key in derived_keys(QUEUE).items()}
    await asyncio.to_thread(asman, "job", "add", hub.queue(QUEUE), "-i", busybox_image, "-c", "true")
    more = ("--network", "none", "--local-images", "asman-test/*", "--data-dir", str(tmp_path / "worker"))
    processes.worker(keys[KeyKind.WORK], "--executor", "docker", *more)
    (tmp_path / "words.txt").write_text("one two")
    files = ("-f", str(tmp_path / "words.txt"), "-o", str(tmp_path / "out"))
    script = "wc -w < /inputs/words.txt > /outputs/count; echo counted"
    ran = await asyncio.to_thread(
        asman, "run", keys[KeyKind.SUBMIT_READ], "-i", busybox_image, *files, "--", "sh", "-c", script
    )
    assert (ran.returncode, ran.stdout) == (0, "counted\n"), ran.stderr
    assert (tmp_path / "out" / "count").read_text().strip() == "2"
