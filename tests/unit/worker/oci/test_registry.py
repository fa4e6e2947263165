"""Images of registries without an engine: sign-in, resumed parts and hosts that must not be asked."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from asman_shared.errors import ExecutionError
from asman_shared.transfer.address_guard import AddressGuard
from asman_worker.images.credentials import Credentials
from asman_worker.images.reference import ImageReference
from asman_worker.oci import registry as registry_module
from asman_worker.oci.manifests import MANIFEST_BYTES, Blob, digest_of
from asman_worker.oci.registry import Denied, Registry

LOGIN = "Basic " + base64.b64encode(b"me:secret").decode()


class Hub:
    """A registry whose answers a test decides.

    Attributes:
        asked: The requests: path and header of authorization.
        break_after: Number of bytes after which an answer with a part breaks off; None for never.
        token: The token that it wants; empty for none.
    """

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[tuple[str, str, str]] = []
        self.break_after: int | None = None
        self.ranges = True
        self.token = ""
        self.realm = ""
        self.elsewhere = ""
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}

    def add(self, data: bytes) -> Blob:
        blob = Blob(digest_of(data), len(data))
        self.blobs[blob.digest] = data
        return blob

    async def handle(self, request: web.Request) -> web.StreamResponse:
        said = request.headers.get("Authorization", "")
        self.asked.append((request.path, said, request.headers.get("Range", "")))
        if request.path == "/token":
            assert request.query["scope"] == "repository:a/b:pull"
            return web.json_response(
                {"token": self.token} if said == LOGIN else {}, status=200 if said == LOGIN else 401
            )
        if self.token and said != f"Bearer {self.token}" and "/elsewhere/" not in request.path:
            realm = self.realm or f"http://127.0.0.1:{self.port}/token"
            return web.Response(status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})
        what = request.path.rpartition("/")[2]
        if "/manifests/" in request.path:
            found = self.manifests.get(what)
            return web.Response(body=found) if found is not None else web.Response(status=404, text="manifest unknown")
        if self.elsewhere and "/elsewhere/" not in request.path:
            return web.Response(status=307, headers={"Location": f"{self.elsewhere}/elsewhere/{what}"})
        data = self.blobs[what]
        first = 0
        if self.ranges and (asked := request.headers.get("Range")):
            first = int(asked.removeprefix("bytes=").removesuffix("-"))
        response = web.StreamResponse(status=206 if first else 200)
        response.content_length = len(data) - first
        await response.prepare(request)
        if self.break_after is not None:
            await response.write(data[first : first + self.break_after])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(data[first:])
        return response


@asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hub.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hub.port = runner.addresses[0][1]
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr(registry_module, "_PAUSE_SECONDS", 0.01)
    made = Hub()
    async with running(made):
        yield made


@asynccontextmanager
async def registry(
    hub: Hub, tmp_path: Path, login: dict[str, Any] | None = None, allowed: str = "127.0.0.1"
) -> AsyncIterator[Registry]:
    auth = tmp_path / "auth.json"
    auth.write_text(json.dumps({"auths": {f"127.0.0.1:{hub.port}": login} if login else {}}))
    reference = ImageReference.parse(f"127.0.0.1:{hub.port}/a/b:v1")
    made = Registry(reference, AddressGuard((allowed,) if allowed else (), secure=True), Credentials(auth))
    try:
        yield made
    finally:
        await made.close()


def counting() -> tuple[list[int], Any]:
    moved: list[int] = []
    return moved, moved.append


async def test_a_part_that_breaks_off_again_and_again_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    data = bytes(range(256)) * 40
    blob = hub.add(data)
    hub.break_after = 1000
    target = tmp_path / "part"
    moved, count = counting()
    async with registry(hub, tmp_path) as made:
        await made.part(blob, target, count)
    assert target.read_bytes() == data
    assert sum(moved) == len(data)
    ranges = [asked for _, _, asked in hub.asked]
    assert ranges[0] == ""
    assert all(asked.startswith("bytes=") for asked in ranges[1:])
    assert len(set(ranges)) == len(ranges) > 5


async def test_a_part_begun_by_another_process_goes_on(hub: Hub, tmp_path: Path) -> None:
    data = b"x" * 5000 + b"y" * 5000
    blob = hub.add(data)
    target = tmp_path / "part"
    target.write_bytes(data[:7000])
    moved, count = counting()
    async with registry(hub, tmp_path) as made:
        await made.part(blob, target, count)
    assert target.read_bytes() == data
    assert moved == [7000, 3000]
    assert [asked for _, _, asked in hub.asked] == ["bytes=7000-"]


async def test_a_registry_without_ranges_sends_all_again(hub: Hub, tmp_path: Path) -> None:
    hub.ranges = False
    data = b"x" * 5000
    blob = hub.add(data)
    target = tmp_path / "part"
    target.write_bytes(b"other bytes")
    moved, count = counting()
    async with registry(hub, tmp_path) as made:
        await made.part(blob, target, count)
    assert target.read_bytes() == data
    assert sum(moved) == 5000


async def test_a_part_that_never_comes_is_given_up(hub: Hub, tmp_path: Path) -> None:
    blob = hub.add(b"x" * 1000)
    hub.break_after = 0
    async with registry(hub, tmp_path) as made:
        with pytest.raises(Exception, match=r"too early|broke off"):
            await made.part(blob, tmp_path / "part", lambda size: None)
    assert len(hub.asked) == 3


async def test_more_bytes_than_announced_are_refused(hub: Hub, tmp_path: Path) -> None:
    data = b"x" * 2000
    blob = hub.add(data)
    async with registry(hub, tmp_path) as made:
        with pytest.raises(Denied, match="more bytes than its manifest says"):
            await made.part(Blob(blob.digest, 1000), tmp_path / "part", lambda size: None)


async def test_a_token_is_fetched_with_the_login_and_used_for_the_image_alone(hub: Hub, tmp_path: Path) -> None:
    hub.token = "t0ken"
    hub.manifests["v1"] = b"{}"
    async with registry(hub, tmp_path, {"username": "me", "password": "secret"}) as made:
        assert (await made.manifest("v1")).data == b"{}"
        await made.manifest("v1")
    assert [(path, said) for path, said, _ in hub.asked] == [
        ("/v2/a/b/manifests/v1", ""),
        ("/token", LOGIN),
        ("/v2/a/b/manifests/v1", "Bearer t0ken"),
        ("/v2/a/b/manifests/v1", "Bearer t0ken"),
    ]


async def test_neither_login_nor_token_goes_where_a_registry_redirects_to(hub: Hub, tmp_path: Path) -> None:
    other = Hub()
    async with running(other):
        hub.token, hub.elsewhere = "t0ken", f"http://127.0.0.1:{other.port}"
        blob = hub.add(b"the part")
        other.blobs[blob.digest] = b"the part"
        async with registry(hub, tmp_path, {"username": "me", "password": "secret"}) as made:
            await made.part(blob, tmp_path / "part", lambda size: None)
        assert (tmp_path / "part").read_bytes() == b"the part"
        assert [said for _, said, _ in other.asked] == [""]


async def test_without_a_login_a_private_image_is_denied(hub: Hub, tmp_path: Path) -> None:
    hub.token = "t0ken"
    async with registry(hub, tmp_path) as made:
        with pytest.raises(Denied, match="unauthorized"):
            await made.manifest("v1")


async def test_an_identity_token_is_told_to_be_no_login_here(hub: Hub, tmp_path: Path) -> None:
    hub.token = "t0ken"
    async with registry(hub, tmp_path, {"identitytoken": "secret"}) as made:
        with pytest.raises(ExecutionError, match="is an identity token") as refused:
            await made.manifest("v1")
        assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    "realm", ["http://169.254.169.254/token", "https://10.0.0.1/token", "http://example.com/token"]
)
async def test_a_registry_can_not_send_the_worker_to_its_own_network(hub: Hub, tmp_path: Path, realm: str) -> None:
    hub.token, hub.realm = "t0ken", realm
    async with registry(hub, tmp_path, {"username": "me", "password": "secret"}) as made:
        with pytest.raises(ExecutionError, match="is not fetched"):
            await made.manifest("v1")


async def test_a_registry_can_not_redirect_the_worker_to_its_own_network(hub: Hub, tmp_path: Path) -> None:
    hub.elsewhere = "http://169.254.169.254"
    blob = hub.add(b"x")
    async with registry(hub, tmp_path) as made:
        with pytest.raises(ExecutionError, match="is not fetched"):
            await made.part(blob, tmp_path / "part", lambda size: None)


async def test_a_registry_of_this_machine_is_not_asked_unless_the_operator_allows_it(hub: Hub, tmp_path: Path) -> None:
    async with registry(hub, tmp_path, allowed="") as made:
        with pytest.raises(ExecutionError, match="is not fetched"):
            await made.manifest("v1")
    assert hub.asked == []


async def test_a_manifest_with_other_bytes_than_its_digest_is_refused(hub: Hub, tmp_path: Path) -> None:
    digest = f"sha256:{hashlib.sha256(b'asked for').hexdigest()}"
    hub.manifests[digest] = b"another"
    async with registry(hub, tmp_path) as made:
        with pytest.raises(Denied, match="other bytes"):
            await made.manifest(digest)


async def test_a_manifest_beyond_the_bound_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.manifests["v1"] = b"x" * (MANIFEST_BYTES + 1)
    async with registry(hub, tmp_path) as made:
        with pytest.raises(Denied, match="more than"):
            await made.manifest("v1")
