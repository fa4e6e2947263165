"""Git repositories on loopback over http, served by git's own `http-backend`."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

_WHO = {
    "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


class Repository:
    """A repository with a working tree, to be changed by a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str) -> str:
        """Runs git in it."""
        done = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *words],
            cwd=self.folder, env={**os.environ, **_WHO}, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str]) -> str:
        """Commits files; returns the commit."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "--quiet", "--allow-empty", "-m", "a change")
        return self.git("rev-parse", "HEAD")


class GitServer:
    """Serves every repository below a folder, and plain files.

    Attributes:
        port: It listens on 127.0.0.1.
        asked: The paths of all requests.
        private: Repositories that need a login, by the beginning of their path.
        login: The ``user:password`` that they need.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.asked: list[str] = []
        self.private: tuple[str, ...] = ()
        self.login = "me:s3cret"
        self.open = asyncio.Event()
        self.open.set()

    @property
    def base(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.port}"

    def repository(self, name: str) -> Repository:
        """A new repository; its address is ``{base}/{name}/.git``."""
        return Repository(self.folder / name)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request: git's, or for a file."""
        self.asked.append(request.path)
        await self.open.wait()
        wanted = "Basic " + base64.b64encode(self.login.encode()).decode()
        if request.path.startswith(self.private) and request.headers.get("Authorization") != wanted:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
        if request.path.startswith("/moved/"):
            return web.Response(status=301, headers={"Location": request.path_qs.removeprefix("/moved")})
        if request.path.startswith("/away/"):
            return web.Response(status=302, headers={"Location": "https://169.254.169.254/x/info/refs"})
        if request.path.startswith("/files/"):
            file = self.folder / request.path.removeprefix("/files/")
            return web.FileResponse(file) if file.is_file() else web.Response(status=404)
        backend = f"{subprocess.check_output(['git', '--exec-path'], text=True).strip()}/git-http-backend"
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        process = await asyncio.create_subprocess_exec(
            backend, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=env
        )
        said, _ = await process.communicate(await request.read())
        head, _, body = said.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, headers=headers, body=body)


@asynccontextmanager
async def running_git_server(folder: Path) -> AsyncIterator[GitServer]:
    """A server on a free port."""
    assert shutil.which("git") is not None, "make setup installs git"
    server = GitServer(folder)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        server.open.set()
        await runner.cleanup()
