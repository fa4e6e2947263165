"""A hub below a path of nginx, Caddy and Traefik, with TLS and HTTP/2, by the files of ``deploy/``."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import expect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from asman_server import main as hub_main
from asman_server.config import HubConfig
from devtools.asman_processes import AsmanProcess, AsmanProcesses, HubProcess, asman, asman_processes
from devtools.browser import TestBrowser
from devtools.page import connected, row
from devtools.patience import PATIENCE
from tests.support.parent_page import served
from tests.support.real_proxies import KINDS, RealProxy, real_proxy
from tests.support.tls_door import make_certificates

expect.set_options(timeout=PATIENCE * 1000)
QUEUE = "behind-a-proxy-0123456789"
BACKSLASH = "\\"
NAME = f"100% #1?;ü & {BACKSLASH}so.txt"
"""A file's name of which each odd character means something to a proxy."""
LARGE = 64 * 1024 * 1024
SPOOFED = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil"}


class Place:
    """A hub with a worker, and certificates for the proxies before it."""

    def __init__(self, folder: Path, processes: AsmanProcesses) -> None:
        self.folder = folder
        self.tls = folder / "tls"
        self.tls.mkdir()
        make_certificates(self.tls)
        self.trusting = ssl.create_default_context(cafile=str(self.tls / "ca.pem"))
        self.hub: HubProcess = processes.hub("--trusted-proxies", "127.0.0.1", "--log-level", "debug")
        words = ("--executor", "process", "--data-dir", str(folder / "w"))
        self.worker: AsmanProcess = processes.worker(self.hub.queue(QUEUE), *words)
        self.worker.wait_for_output("registered at", PATIENCE)

    def asman(self, *words: str) -> str:
        """What a command says that trusts the authority."""
        trusts = {"SSL_CERT_FILE": str(self.tls / "ca.pem")}
        done = asman(*words, environment=trusts, seconds=PATIENCE)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def curl(self, *words: str) -> bytes:
        """What curl writes, which speaks HTTP/2 where it may."""
        command = ["curl", "--silent", "--show-error", "--http2", "--cacert", str(self.tls / "ca.pem"), *words]
        return subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE).stdout


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as name, asman_processes(Path(name)) as started:
        Path(name).chmod(0o755)  # nginx's own processes are of another user
        yield Place(Path(name), started)


@pytest.fixture(scope="module", params=KINDS)
def proxy(request: pytest.FixtureRequest, place: Place) -> Iterator[RealProxy]:
    folder = place.folder / request.param
    folder.mkdir()
    with real_proxy(request.param, folder, place.hub.port, place.tls) as running:
        yield running


def test_a_job_runs_and_its_files_come_and_go_whatever_their_names(
    place: Place, proxy: RealProxy, tmp_path: Path
) -> None:
    queue = f"{proxy.url}/q/{QUEUE}"
    (tmp_path / "sent").write_bytes(body := os.urandom(300_000))
    script = 'cd "$JOB_OUTPUTS"; cp "$JOB_INPUTS/sent" "$NAME"; mkdir "a b"; cp "$JOB_INPUTS/sent" "a b/c"'
    words = ("-f", str(tmp_path / "sent"), "-o", str(tmp_path / "got"), "-e", f"NAME={NAME}", "-e", f"P={proxy.kind}")
    place.asman("run", queue, *words, "--", "sh", "-c", script)
    assert (tmp_path / "got" / NAME).read_bytes() == body
    job = json.loads(place.asman("job", "list", queue, "--json"))[0]["id"]
    for path in (NAME, "a b/c"):
        assert place.curl(f"{queue}/jobs/{job}/outputs/{quote(path)}") == body, path
    plain = quote(f"{proxy.kind} {NAME.replace(BACKSLASH, '')}", safe="")
    put = json.loads(place.curl("-T", str(tmp_path / "sent"), f"{proxy.url}/f/{plain}"))
    assert "error" not in put, put
    assert place.curl(f"{proxy.url}/f/{plain}") == body


def test_a_large_file_goes_up_and_comes_down_whole(place: Place, proxy: RealProxy, tmp_path: Path) -> None:
    large = tmp_path / "large"
    digest = hashlib.sha256()
    with large.open("wb") as file:
        for _ in range(LARGE // 2**20):
            digest.update(piece := os.urandom(2**20))
            file.write(piece)
    sha256 = place.asman("blob", "put", f"{proxy.url}/q/{QUEUE}", str(large)).strip()
    assert sha256 == digest.hexdigest()
    with large.open("wb") as file:
        command = ["curl", "--silent", "--http2", "--cacert", str(place.tls / "ca.pem"), f"{proxy.url}/f/{sha256}"]
        subprocess.run(command, stdout=file, check=True, timeout=PATIENCE)
    with large.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == sha256


def test_it_speaks_http_2_and_leads_to_the_hub_alone(place: Place, proxy: RealProxy) -> None:
    told = ("--output", "/dev/null", "--write-out", "%{http_version} %{http_code}")
    assert place.curl(*told, f"{proxy.url}/") == b"2 200"
    assert place.curl(*told, "--location", f"{proxy.url}") == b"2 200", "the page is also there without its slash"
    assert place.curl(*told, "--http1.1", f"{proxy.url}/readyz") == b"1.1 200"
    outside = proxy.url.removesuffix(proxy.prefix)
    for path in ("/readyz", f"{proxy.prefix}x/readyz", f"{proxy.prefix}/../readyz"):
        code = place.curl(*told, "--path-as-is", f"{outside}{path}").split()[1]
        assert code in (b"404", b"400"), path
    assert place.curl(*told, f"{proxy.url}/metrics") == b"2 403", "who comes through a proxy is no program of the hub's"


def test_what_is_followed_comes_at_once(place: Place, proxy: RealProxy, tmp_path: Path) -> None:
    go = tmp_path / "go"
    command = ["sh", "-c", f"echo first; until [ -e {go} ]; do sleep 0.1; done; echo last"]
    job = post(place, proxy, {"definition": {"command": command}})["job"]["id"]
    with subprocess.Popen(
        ["curl", "-sN", "--http2", "--cacert", str(place.tls / "ca.pem"), "--max-time", f"{PATIENCE:g}",
         f"{proxy.url}/q/{QUEUE}/jobs/{job}/events"],
        stdout=subprocess.PIPE, text=True,
    ) as following:  # fmt: skip
        assert following.stdout is not None
        seen = ""
        for line in following.stdout:
            seen += line
            if '"first"' in line:
                assert '"last"' not in seen
                go.touch()
            if line.startswith("event: final"):
                break
        following.terminate()
    assert '"last"' in seen


def post(place: Place, proxy: RealProxy, body: dict[str, Any], *more: str) -> dict[str, Any]:
    """What the hub answers to a job."""
    answer: dict[str, Any] = json.loads(
        place.curl("--json", json.dumps(body), *more, f"{proxy.url}/q/{QUEUE}/jobs")
    )  # fmt: skip
    assert "error" not in answer, answer
    return answer


async def native(place: Place, url: str, **more: Any) -> ClientConnection:
    """A client's websocket that has been welcomed."""
    socket = await connect(
        f"wss{url.removeprefix('https')}/q/{QUEUE}/client", ssl=place.trusting, subprotocols=["asman.v1.json"], **more  # type: ignore[list-item]
    )  # fmt: skip
    await socket.send('[{"type":"hello","agent":"test"}]')
    assert json.loads(await socket.recv())[0]["type"] == "welcome"
    return socket


async def test_the_hub_knows_the_clients_address_and_what_the_client_claims_counts_nothing(
    place: Place, proxy: RealProxy
) -> None:
    before = place.hub.output().count('"address": "127.0.0.2"')
    own = ("127.0.0.2", 0)
    async with await native(place, proxy.url, local_addr=own, family=2, additional_headers=SPOOFED):
        pass
    assert place.hub.output().count('"address": "127.0.0.2"') == before + 1
    assert "6.6.6.6" not in place.hub.output()
    spoofed = [word for name, value in SPOOFED.items() for word in ("-H", f"{name}: {value}")]
    told = place.curl(*spoofed, f"{proxy.url}/q/{QUEUE}/ga4gh/tes/v1/service-info").decode()
    assert "evil" not in told
    assert proxy.url in told, "the hub knows its address by the proxy's headers"


async def test_the_page_is_embedded_below_the_path(place: Place, proxy: RealProxy, browser: TestBrowser) -> None:
    body = {"definition": {"command": f"echo embedded by {proxy.kind}"}}
    job = (await asyncio.to_thread(post, place, proxy, body))["job"]
    frame = f'<!doctype html><title>parent</title><iframe width=900 height=600 src="{proxy.url}/q/{QUEUE}"></iframe>'
    with served({"/": ("text/html", frame.encode())}) as parent:
        page = await browser.open(parent, trusting=True)
        inside = page.frame_locator("iframe")
        await connected(inside)
        await expect(row(inside, job["id"])).to_be_visible()
    assert browser.errors == []


async def test_pings_keep_a_quiet_websocket_longer_than_the_proxy_would(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nginx ends what is quiet for 2 s: it does so with a hub that pings seldom, and not with one that pings often."""
    tmp_path.chmod(0o755)
    quiet = {"proxy_read_timeout 1h": "proxy_read_timeout 2s", "proxy_send_timeout 1h": "proxy_send_timeout 2s"}
    servers: list[hub_main.HubServer] = []
    try:
        for seconds in (600.0, 0.5):
            monkeypatch.setattr(hub_main, "PING_SECONDS", seconds)
            servers.append(hub_main.HubServer(HubConfig(port=0, data_dir=tmp_path / f"data-{seconds}")))
            await servers[-1].start()
        folders = [tmp_path / f"nginx-{number}" for number in range(2)]
        for folder in folders:
            folder.mkdir()
        ports = [int(server.address.rpartition(":")[2]) for server in servers]
        async with AsyncExitStack() as opened:
            urls: list[str] = []
            for folder, port in zip(folders, ports, strict=True):
                running = real_proxy("nginx", folder, port, place.tls, more=quiet)
                urls.append((await asyncio.to_thread(running.__enter__)).url)
                opened.push_async_callback(asyncio.to_thread, running.__exit__, None, None, None)
            seldom, often = [await native(place, url) for url in urls]
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(ConnectionClosed):
                    await seldom.recv()
                again = await native(place, urls[0])
                with pytest.raises(ConnectionClosed):  # so the other one was quiet for twice the time
                    await again.recv()
                await often.send('[{"type":"list","ref":1}]')
                assert json.loads(await often.recv())[0]["ref"] == 1
            await often.close()
    finally:
        for server in servers:
            await server.stop()


def test_without_the_path_the_file_for_nginx_serves_a_host_of_its_own(place: Place, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    folder = tmp_path / "nginx"
    folder.mkdir()
    with real_proxy(
        "nginx", folder, place.hub.port, place.tls, more={"/asman/": "/", "/asman": ""}, prefix=""
    ) as proxy:
        name = quote("its own #%?.txt", safe="")
        place.curl("-T", __file__, f"{proxy.url}/f/{name}")
        told = json.loads(place.curl(f"{proxy.url}/download/{name}"))["url"]
        assert told == f"{proxy.url}/f/{name}"
        assert place.curl(told) == Path(__file__).read_bytes()
