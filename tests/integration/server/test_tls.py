"""A hub that speaks https by itself: every door, a new certificate without a dropped connection, and wrong ones."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
from pathlib import Path

import pytest
from playwright.async_api import expect
from websockets.asyncio.client import connect

from devtools.asman_processes import AsmanProcesses, asman
from devtools.browser import TestBrowser
from devtools.page import connected
from devtools.patience import PATIENCE
from tests.support.tls_door import make_certificate
from tests.support.tls_hub import TlsHub, tls_hub

expect.set_options(timeout=PATIENCE * 1000)
QUEUE = "secure-queue-0123456789"


@pytest.fixture
async def hub(processes: AsmanProcesses) -> TlsHub:
    return await asyncio.to_thread(tls_hub, processes)


def shown(hub: TlsHub) -> bytes:
    """The certificate of a new connection, in DER."""
    with (
        socket.create_connection(("127.0.0.1", hub.port), timeout=20) as plain,
        hub.trusting.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        found = secure.getpeercert(binary_form=True)
        assert found is not None
        return found


async def test_every_door_speaks_it(
    hub: TlsHub, processes: AsmanProcesses, tmp_path: Path, browser: TestBrowser
) -> None:
    queue, trusts = hub.queue(QUEUE), hub.environment
    words = ("--executor", "process", "--data-dir", str(tmp_path / "w"))
    worker = await asyncio.to_thread(lambda: processes.worker(queue, *words, environment=trusts))
    await asyncio.to_thread(worker.wait_for_output, "registered at", PATIENCE)
    (tmp_path / "sent").write_bytes(body := bytes(range(256)) * 4000)

    async def said(*command: str) -> str:
        done = await asyncio.to_thread(lambda: asman(*command, environment=trusts, seconds=PATIENCE))
        assert done.returncode == 0, done.stderr
        return done.stdout

    copies = ("--", "sh", "-c", 'cp "$JOB_INPUTS/sent" "$JOB_OUTPUTS/back"')
    await said("run", queue, "-f", str(tmp_path / "sent"), "-o", str(tmp_path / "got"), *copies)
    assert (tmp_path / "got/back").read_bytes() == body
    (listed,) = json.loads(await said("job", "list", queue, "--json"))
    assert listed["state"] == "Finished"
    await said("blob", "put", queue, str(tmp_path / "sent"))
    assert f'"id":"{listed["id"]}"'.encode() in await asyncio.to_thread(hub.get, f"/q/{QUEUE}/jobs")

    async with connect(f"wss://localhost:{hub.port}/q/{QUEUE}/browser", ssl=hub.trusting, max_size=None) as dialect:
        async with asyncio.timeout(PATIENCE):
            while listed["id"] not in str(await dialect.recv()):
                pass
    async with connect(
        f"wss://localhost:{hub.port}/q/{QUEUE}/client",
        ssl=hub.trusting,
        subprotocols=["asman.v1.json"],  # type: ignore[list-item]
    ) as native:
        await native.send('[{"type":"hello","agent":"test"}]')
        assert json.loads(await native.recv())[0]["type"] == "welcome"

    page = await browser.open(f"{hub.url}/q/{QUEUE}", trusting=True)
    await connected(page)
    await expect(page.locator("body")).to_contain_text(listed["id"][:4])
    assert browser.errors == []


async def test_a_new_certificate_drops_no_connection_and_a_wrong_one_changes_nothing(
    hub: TlsHub, processes: AsmanProcesses, tmp_path: Path
) -> None:
    queue, trusts = hub.queue(QUEUE), hub.environment
    words = ("--executor", "process", "--data-dir", str(tmp_path / "w"))
    worker = await asyncio.to_thread(lambda: processes.worker(queue, *words, environment=trusts))
    await asyncio.to_thread(worker.wait_for_output, "registered at", PATIENCE)
    first = await asyncio.to_thread(shown, hub)
    await asyncio.to_thread(make_certificate, hub.tls, "next", 30)
    async with connect(
        f"wss://localhost:{hub.port}/q/{QUEUE}/client",
        ssl=hub.trusting,
        subprotocols=["asman.v1.json"],  # type: ignore[list-item]
    ) as native:
        await native.send('[{"type":"hello","agent":"test"}]')
        definition = {"command": ["sh", "-c", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done"]}
        await native.send(json.dumps([{"type": "submit", "ref": 1, "definition": definition, "follow": True}]))
        shutil.copy(hub.tls / "next.pem", hub.tls / "hub.pem")  # its key is not there yet
        await asyncio.to_thread(hub.wait_for_output, "can't be used; the earlier one stays", PATIENCE)
        assert await asyncio.to_thread(shown, hub) == first
        assert b"asman_certificate_failing 1.0" in await asyncio.to_thread(hub.get, "/metrics")
        shutil.copy(hub.tls / "next.key", hub.tls / "hub.key")
        await asyncio.to_thread(hub.wait_for_output, "has changed and is loaded again", PATIENCE)
        assert await asyncio.to_thread(shown, hub) == ssl.PEM_cert_to_DER_cert((hub.tls / "next.pem").read_text())
        told = (await asyncio.to_thread(hub.get, "/metrics")).decode()
        assert "asman_certificate_failing 0.0" in told
        assert "asman_certificate_expiry_timestamp_seconds 1." in told
        (tmp_path / "go").touch()
        async with asyncio.timeout(PATIENCE):
            while True:
                changes = [each for each in json.loads(await native.recv()) if each["type"] == "changed"]
                if any(each["job"]["state"] == "Finished" for each in changes):
                    break
    assert worker.output().count("registered at") == 1


@pytest.mark.parametrize("wrong", ["no certificate", "another key", "no key is named"])
def test_a_wrong_pair_at_the_start_is_one_sentence_and_no_hub(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "c.pem").write_text("not a certificate")
    (tmp_path / "k.pem").write_text("not a key")
    words = {
        "no certificate": ("--tls-cert", str(tmp_path / "none.pem"), "--tls-key", str(tmp_path / "k.pem")),
        "another key": ("--tls-cert", str(tmp_path / "c.pem"), "--tls-key", str(tmp_path / "k.pem")),
        "no key is named": ("--tls-cert", str(tmp_path / "c.pem")),
    }[wrong]
    done = asman("hub", "--port", "0", "--data-dir", str(tmp_path / "data"), *words, seconds=PATIENCE)
    assert done.returncode != 0
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_asman_up_has_no_certificate_and_says_so(tmp_path: Path) -> None:
    environment = {"ASMAN_TLS_CERT": str(tmp_path / "c.pem"), "ASMAN_TLS_KEY": str(tmp_path / "k.pem")}
    done = asman("up", "--data-dir", str(tmp_path / "data"), environment=environment, seconds=PATIENCE)
    assert done.returncode != 0
    assert "'asman up' speaks plain HTTP" in done.stderr
    assert not (tmp_path / "data").exists()


async def test_plain_http_and_broken_handshakes_are_ended_and_the_hub_goes_on(hub: TlsHub) -> None:
    for sent in (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", bytes(10_000), b"\x16"):
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(sent)
        if sent == b"\x16":
            writer.close()
            continue
        async with asyncio.timeout(PATIENCE):
            told = await reader.read(10_000)
        assert b"HTTP" not in told
        writer.close()
    assert await asyncio.to_thread(hub.healthy)
    assert "Traceback" not in hub.output()
