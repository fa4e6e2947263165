"""Runs git safely on untrusted repositories: no hooks, no settings of theirs, no other protocols."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from asman_shared.errors import ExecutionError
from asman_shared.units import MIB, format_size

log = logging.getLogger("asman.worker.builds")

_OUTPUT: Final = 16 * MIB
_ERRORS: Final = 64 * 1024
_WATCH_SECONDS: Final = 0.5
_INHERITED: Final = (
    "PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
)
_SETTINGS: Final = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.symlinks=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "http.proxy=",  # a proxy would resolve the host by itself, and lead to an address that nobody has checked
    "protocol.allow=never",
    "protocol.https.allow=always",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
)


class GitError(Exception):
    """A git command failed.

    Args:
        words: The last line of its output.
    """

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class Git:
    """Runs git in one folder.

    Args:
        folder: The bare repository; empty before `begin`.
        most: Largest size of the folder, in bytes.
        credentials: A file of ``git credential-store``, for private repositories. Git gets a copy in the folder,
            without a byte order mark and with plain line ends, and so never changes the file itself.
    """

    def __init__(self, folder: Path, *, most: int, credentials: Path | None = None) -> None:
        self._folder = folder
        self._most = most
        self._settings = [*_SETTINGS, "credential.helper="]
        self._credentials = credentials

    def allow_http(self) -> None:
        """Allows plain http, for a host that the operator named."""
        self._settings.append("protocol.http.allow=always")

    def pin(self, host: str, port: int, addresses: Sequence[str]) -> None:
        """Binds a host's name to these addresses only."""
        written = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
        self._settings.append(f"http.curloptResolve={host}:{port}:{written}")

    async def begin(self) -> None:
        """Makes the repository, with all rewriting of a checkout turned off."""
        await self.run("init", "--quiet", "--bare", "--template=", str(self._folder))
        info = self._folder / "info"
        info.mkdir(exist_ok=True)
        # All files as committed: `git archive` would leave out or fill in some of them for releases.
        (info / "attributes").write_text("* -export-ignore -export-subst -ident -filter -text\n")

    async def run(self, *words: str, output: Path | None = None) -> str:
        """Runs one command; returns its output.

        Args:
            words: The command and its arguments.
            output: A file that receives the output instead.

        Raises:
            GitError: The command failed.
            ExecutionError: Git is not installed, or the repository is too large.
        """
        program = shutil.which("git")
        if program is None:
            raise ExecutionError("this worker can't build from repositories: git is not installed", fault="worker")
        env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        env |= {
            "HOME": str(self._folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "LC_ALL": "C",
        }
        begun = words[0] != "init"
        settings = [*self._settings, *(await asyncio.to_thread(self._logins) if begun else ())]
        options = [part for setting in settings for part in ("-c", setting)]
        place = [f"--git-dir={self._folder}"] if begun else []
        with contextlib.ExitStack() as files:
            into = files.enter_context(output.open("wb")) if output is not None else asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(
                program, *place, *options, *words,
                stdin=asyncio.subprocess.DEVNULL, stdout=into, stderr=asyncio.subprocess.PIPE,
                env=env, cwd=self._folder.parent, start_new_session=True,
            )  # fmt: skip
            try:
                return await self._finish(process, output)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    def _logins(self) -> list[str]:
        """Copies the present logins into the folder; returns the setting that leads git to them."""
        if self._credentials is None:
            return []
        try:
            lines = self._credentials.read_bytes().decode("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            log.warning("the logins for git in %s can't be read: %s", self._credentials, why)
            return []
        copy = self._folder / "logins"
        copy.touch(mode=0o600)
        copy.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return [f"credential.helper=store --file={shlex.quote(str(copy))}"]

    async def _finish(self, process: asyncio.subprocess.Process, output: Path | None) -> str:
        """Reads both streams up to a limit, and watches the folder's size meanwhile."""
        assert process.stderr is not None  # noqa: S101 - a pipe was asked for
        said = asyncio.ensure_future(_read(process.stdout, _OUTPUT) if process.stdout else _nothing())
        errors = asyncio.ensure_future(_read(process.stderr, _ERRORS))
        ended = asyncio.ensure_future(process.wait())
        try:
            while not ended.done():
                await asyncio.wait((ended,), timeout=_WATCH_SECONDS)
                size = await asyncio.to_thread(_size, self._folder, output)
                if size > self._most:
                    raise ExecutionError(f"the repository is larger than {format_size(self._most)}")
            words = (await errors).decode("utf-8", "replace").strip()
            if process.returncode:
                last = words.splitlines()[-1] if words else f"git ended with {process.returncode}"
                raise GitError(last.removeprefix("fatal: ").removeprefix("error: ")[:300])
            return (await said).decode("utf-8", "replace")
        finally:
            for task in (said, errors, ended):
                task.cancel()
            await asyncio.gather(said, errors, ended, return_exceptions=True)


async def _nothing() -> bytes:
    return b""


async def _read(stream: asyncio.StreamReader, most: int) -> bytes:
    """Reads a stream to its end; bytes past a limit are dropped."""
    kept = bytearray()
    while data := await stream.read(64 * 1024):
        kept += data[: most - len(kept)]
    return bytes(kept)


def _size(folder: Path, output: Path | None) -> int:
    total = output.stat().st_size if output is not None and output.exists() else 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(root) / name).lstat().st_size
    return total
