"""A registry of images on loopback, for pulls by engines (OCI distribution, read only), controlled by a test."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from devtools.base_image import busybox, root_tar

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def layer(files: Mapping[str, bytes]) -> bytes:
    """Returns an uncompressed layer of a few files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


class Registry:
    """Images by name and tag.

    Attributes:
        port: Its port on 127.0.0.1.
        open: While it is cleared, requests for layers wait.
        asked: The paths of all requests.
        fail: Number of requests for manifests that are answered with 503 first.
        login: The required ``user:password``, or empty.
    """

    def __init__(self) -> None:
        self.port = 0
        self.open = asyncio.Event()
        self.open.set()
        self.asked: list[str] = []
        self.fail = 0
        self.login = ""
        self._blobs: dict[str, bytes] = {}
        self._manifests: dict[str, tuple[str, bytes]] = {}

    @property
    def host(self) -> str:
        """Returns the host part of its images' names."""
        return f"127.0.0.1:{self.port}"

    def add(self, name: str, files: Mapping[str, bytes], *, command: str = "true", arch: str = "amd64") -> str:
        """Adds an image of busybox and a few files; returns its name for jobs."""
        digest, _ = self._image(files, command, arch)
        self._manifests[name] = self._manifests[f"sha256:{digest}"]
        return f"{self.host}/{name}"

    def add_for(self, name: str, images: Mapping[str, Mapping[str, bytes]]) -> str:
        """Adds one name for several architectures; returns it."""
        entries = []
        for arch, files in images.items():
            digest, size = self._image(files, "true", arch)
            platform = {"architecture": arch, "os": "linux"}
            entries.append({"mediaType": _MANIFEST, "size": size, "digest": f"sha256:{digest}", "platform": platform})
        body = json.dumps({"schemaVersion": 2, "mediaType": _LIST, "manifests": entries}).encode()
        self._manifests[name] = (_LIST, body)
        self._manifests[f"sha256:{hashlib.sha256(body).hexdigest()}"] = (_LIST, body)
        return f"{self.host}/{name}"

    def digest(self, name: str) -> str:
        """Returns the digest of the image that a pull of a name gets."""
        return "sha256:" + hashlib.sha256(self._manifests[name][1]).hexdigest()

    def _image(self, files: Mapping[str, bytes], command: str, arch: str) -> tuple[str, int]:
        program = busybox()
        assert program is not None
        layers = [root_tar(program), layer(files)]
        config = {
            "architecture": arch,
            "os": "linux",
            "config": {"Cmd": ["/bin/sh", "-c", command], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]},
        }
        described: dict[str, Any] = {"schemaVersion": 2, "mediaType": _MANIFEST}
        described["config"] = self._describe(
            json.dumps(config).encode(), "application/vnd.docker.container.image.v1+json"
        )
        described["layers"] = [
            self._describe(gzip.compress(each, 1, mtime=0), "application/vnd.docker.image.rootfs.diff.tar.gzip")
            for each in layers
        ]
        body = json.dumps(described).encode()
        digest = hashlib.sha256(body).hexdigest()
        self._manifests[f"sha256:{digest}"] = (_MANIFEST, body)
        return digest, len(body)

    def _describe(self, data: bytes, kind: str) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._blobs[digest] = data
        return {"mediaType": kind, "size": len(data), "digest": digest}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers a request."""
        self.asked.append(request.path)
        if self.login:
            wanted = "Basic " + base64.b64encode(self.login.encode()).decode()
            if request.headers.get("Authorization") != wanted:
                headers = {"WWW-Authenticate": 'Basic realm="test"'}
                problem = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
                return web.json_response(problem, status=401, headers=headers)
        parts = request.path.removeprefix("/v2/").split("/")
        if parts == [""]:
            return web.json_response({})
        repository, kind, what = "/".join(parts[:-2]), parts[-2], parts[-1]
        if kind == "manifests":
            if self.fail:
                self.fail -= 1
                return web.Response(status=503)
            name = what if what.startswith("sha256:") else f"{repository}:{what}"
            found = self._manifests.get(name)
            if found is not None:
                headers = {"Docker-Content-Digest": f"sha256:{hashlib.sha256(found[1]).hexdigest()}"}
                return web.Response(body=found[1], content_type=found[0], headers=headers)
            problem = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            return web.json_response(problem, status=404)
        await self.open.wait()
        data = self._blobs.get(what)
        return web.Response(body=data) if data is not None else web.Response(status=404)


@asynccontextmanager
async def running_registry() -> AsyncIterator[Registry]:
    """Yields a registry on a free port."""
    registry = Registry()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", registry.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    registry.port = runner.addresses[0][1]
    try:
        yield registry
    finally:
        registry.open.set()
        await runner.cleanup()
