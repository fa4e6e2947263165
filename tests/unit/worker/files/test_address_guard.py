"""What a worker fetches for jobs, and from where it does not."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from asman_shared.address import parse_address
from asman_shared.errors import AsmanError, ExecutionError
from asman_shared.public_addresses import closed
from asman_shared.transfer import RetryPolicy, address_guard
from asman_shared.transfer.address_guard import AddressGuard
from asman_worker.files.blobs import Blobs
from asman_worker.files.download import download
from devtools.fake_hub import FakeHub
from tests.unit.worker.attempts.test_staging import Locator


@asynccontextmanager
async def serving(text: str = "secret", to: str = "", storage: str = "") -> AsyncIterator[str]:
    """A server on loopback that answers with a text, or with a redirect; gives its address."""

    async def answer(request: web.Request) -> web.Response:
        headers = {"Asman-Storage": storage} if storage else {}
        return web.Response(status=302, headers={"Location": to, **headers}) if to else web.Response(text=text)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/x"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def blobs_of(hub: FakeHub, *allowed: str) -> AsyncIterator[Blobs]:
    made = Blobs(Locator(hub), parse_address(hub.url), allowed=allowed)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What looking up ``rebound.example`` gives, one answer after the other; the last one stays."""
    given: list[list[str]] = []
    real = asyncio.BaseEventLoop.getaddrinfo

    async def look_up(self: asyncio.BaseEventLoop, host: str, port: int, **more: Any) -> list[Any]:
        if host != "rebound.example":
            return await real(self, host, port, **more)
        now = given.pop(0) if len(given) > 1 else given[0]
        found = [await real(self, address, port, **more) for address in now]
        return [each for some in found for each in some]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", look_up)
    return given


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("localhost", "loopback"),
        ("[::1]", "loopback"),
        ("10.1.2.3", "private"),
        ("192.168.1.1", "private"),
        ("[fd00::1]", "private"),
        ("[::ffff:10.0.0.1]", "private"),
        ("169.254.169.254", "link-local"),
        ("168.63.129.16", "cloud metadata"),
        ("0.0.0.0", "unspecified"),
    ],
)
async def test_an_input_is_not_fetched_from_what_only_the_worker_can_reach(
    hub: FakeHub, tmp_path: Path, host: str, kind: str
) -> None:
    async with blobs_of(hub) as blobs:
        with pytest.raises(ExecutionError, match=f"at a {kind} address, and is not fetched.*--allow-host"):
            await blobs.fetch(f"http://{host}:{hub.port + 1}/x", tmp_path / "x", most=100)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1"])
async def test_an_address_in_a_strange_form_is_refused(hub: FakeHub, tmp_path: Path, host: str) -> None:
    async with blobs_of(hub) as blobs:
        with pytest.raises(AsmanError, match=r"not an http address|loopback"):
            await blobs.fetch(f"http://{host}:{hub.port}/blobs/x", tmp_path / "x", most=100)


async def test_an_input_is_fetched_from_a_private_host_that_the_operator_names(hub: FakeHub, tmp_path: Path) -> None:
    async with serving("allowed") as url, blobs_of(hub, "127.0.0.*") as blobs:
        await blobs.fetch(url, tmp_path / "x", most=100)
        assert (tmp_path / "x").read_text() == "allowed"


async def test_an_output_of_another_job_is_fetched_from_the_hub_by_its_url_wherever_the_hub_is(
    hub: FakeHub, tmp_path: Path
) -> None:
    sha = hub.store(b"an output")
    async with blobs_of(hub) as blobs:
        await blobs.fetch(f"{hub.base}/blobs/{sha}", tmp_path / "x", most=100)
        assert (tmp_path / "x").read_bytes() == b"an output"


async def test_the_storage_that_the_hub_names_may_be_private_and_others_may_not(hub: FakeHub, tmp_path: Path) -> None:
    async with serving("stored") as storage, serving() as other, blobs_of(hub) as blobs:
        hub.storage = storage.removesuffix("/x")
        sha = hub.store(b"stored")
        (link,) = (await blobs.links([sha])).values()
        await blobs.fetch(link.url, tmp_path / "key", sha256=sha, most=100)
        hub.redirects = {"out": storage, "away": other}
        await blobs.fetch(f"{hub.base}/redirect/out", tmp_path / "x", most=100)
        assert (tmp_path / "x").read_bytes() == b"stored"
        with pytest.raises(ExecutionError, match="loopback"):
            await blobs.fetch(f"{hub.base}/redirect/away", tmp_path / "z", most=100)


async def test_a_redirect_opens_the_storage_only_if_the_hub_itself_says_that_it_leads_there(
    hub: FakeHub, tmp_path: Path
) -> None:
    async with serving("stored") as storage, serving("not stored") as other, blobs_of(hub) as blobs:
        origin = storage.removesuffix("/x")
        # A stranger's server may say the same of itself, and the hub of another address than the one it leads to.
        async with serving(to=other, storage=other) as stranger, blobs_of(hub, "localhost") as fooled:
            with pytest.raises(ExecutionError, match="loopback"):
                await fooled.fetch(stranger.replace("127.0.0.1", "localhost"), tmp_path / "a", most=100)
        hub.redirects = {"out": storage, "away": other}
        hub.named_storage = origin
        with pytest.raises(ExecutionError, match="loopback"):
            await blobs.fetch(f"{hub.base}/redirect/away", tmp_path / "b", most=100)
        await blobs.fetch(f"{hub.base}/redirect/out", tmp_path / "c", most=100)
        assert (tmp_path / "c").read_bytes() == b"stored"
        with pytest.raises(ExecutionError, match="loopback"):
            await blobs.fetch(f"{hub.base}/redirect/away", tmp_path / "d", most=100)


async def test_a_build_comes_by_http_from_the_hub_of_its_job_and_from_no_other_host(
    hub: FakeHub, tmp_path: Path
) -> None:
    sha = hub.store(b"a context")
    shared = AddressGuard(secure=True)
    own = shared.with_hub(f"{hub.base}/q/any/j/job")
    assert await download(f"{hub.base}/blobs/{sha}", tmp_path / "x", own, most=100) == sha
    async with serving() as other:
        for guard, url in ((own, other), (shared, f"{hub.base}/blobs/{sha}")):
            with pytest.raises(ExecutionError, match=r"is not fetched: only https:// is") as error:
                await download(url, tmp_path / "y", guard, most=100)
            assert url in error.value.message, "with the port"


async def test_every_step_of_a_redirect_is_judged(tmp_path: Path) -> None:
    async with serving(to="https://10.0.0.1/x") as url:
        guard = AddressGuard(["127.0.0.1"])
        with pytest.raises(ExecutionError, match="private"):
            await download(url, tmp_path / "x", guard, most=100)
    assert list(tmp_path.iterdir()) == []


async def test_a_name_is_looked_up_once_and_what_was_judged_is_what_is_connected_to(
    answers: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # 127.0.0.1 plays the open internet; a second look would say otherwise.
    monkeypatch.setattr(address_guard, "closed", lambda address: None if address == "127.0.0.1" else closed(address))
    async with serving("first") as url:
        named = url.replace("127.0.0.1", "rebound.example")
        answers[:] = [["127.0.0.1"], ["127.0.0.2"]]
        assert await download(named, tmp_path / "x", AddressGuard(), most=100) == hashlib.sha256(b"first").hexdigest()
        with pytest.raises(ExecutionError, match=r"'rebound\.example' is at a loopback address"):
            await download(named, tmp_path / "y", AddressGuard(), most=100)


async def test_a_name_with_one_private_address_among_public_ones_is_refused(
    answers: list[list[str]], tmp_path: Path
) -> None:
    answers[:] = [["1.1.1.1", "10.0.0.1"]]
    with pytest.raises(ExecutionError, match="private"):
        await download("https://rebound.example/x", tmp_path / "x", AddressGuard(), most=100)


async def test_builds_come_by_https_unless_the_operator_names_the_host() -> None:
    guard = AddressGuard(["*.corp", "127.0.0.1"], secure=True)
    assert (await guard.locate("http://127.0.0.1:8000/x"))[1:] == (8000, ["127.0.0.1"])
    for url in ("https://localhost/", "http://1.1.1.1/", "https://0/", "https://2130706433/"):
        with pytest.raises(ExecutionError):
            await guard.locate(url)


@pytest.mark.parametrize(("status", "fault"), [(404, "job"), (403, "job"), (500, "worker")])
async def test_an_archive_that_can_not_be_had_is_said_with_whose_fault_it_is(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, fault: str
) -> None:
    monkeypatch.setattr("asman_worker.files.download._RETRY_POLICY", RetryPolicy(tries=2, most=0.001))
    hub.get_statuses = [status] * 2
    guard = AddressGuard(["127.0.0.1"])
    with pytest.raises(ExecutionError, match=f"the archive could not be fetched: .*{status}") as error:
        await download(f"{hub.base}/blobs/{'0' * 64}", tmp_path / "x", guard, most=100)
    assert error.value.fault == fault
    assert list(tmp_path.iterdir()) == []


async def test_an_international_host_is_bound_as_it_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git is told the addresses of a name; for the same name written otherwise it would look again."""
    asked: list[str] = []

    async def resolve(_self: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
        asked.append(host)
        return [{"hostname": host, "host": "93.184.215.14", "port": port, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    host, port, addresses = await AddressGuard().locate("https://bücher.example/a.git")
    assert (host, port, addresses) == ("xn--bcher-kva.example", 443, ["93.184.215.14"])
    assert asked == ["xn--bcher-kva.example"]


@pytest.mark.parametrize("pattern", ["bücher.example", "xn--bcher-kva.example", "*.EXAMPLE"])
@pytest.mark.parametrize("host", ["bücher.example", "xn--bcher-kva.example"])
def test_an_international_host_is_allowed_however_it_is_written(pattern: str, host: str) -> None:
    AddressGuard([pattern])._judge(host, 443, "127.0.0.1")
    with pytest.raises(ExecutionError, match="loopback"):
        AddressGuard(["other.example"])._judge(host, 443, "127.0.0.1")


@pytest.mark.parametrize("hub", ["http://127.0.0.1:8000", "http://127.0.0.1:8000/asman"])
def test_what_a_hub_tells_its_own_machine_is_not_fetched_for_jobs(hub: str) -> None:
    guard = AddressGuard()
    guard.trust_hub(hub)
    for path in ("metrics", "healthz", "readyz", "q/local/jobs", "local", "local/x", "%6detrics", "Metrics", "/local"):
        with pytest.raises(ExecutionError, match="for its own machine"):
            guard.check(URL(f"{hub}/{path}"))
    for path in ("f/x", "q/locals/jobs", "q/my-queue/jobs/1/outputs/metrics", "b/metrics", "j/1/inputs/local", ""):
        guard.check(URL(f"{hub}/{path}"))
