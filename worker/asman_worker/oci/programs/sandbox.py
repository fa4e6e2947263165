"""Stays with one container that bubblewrap makes: a program of one process, which needs neither root nor a runtime."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any, Final

from .monitor import SHORT_SECONDS, Asked, Monitor
from .namespaces import Failed

_NAME: Final = b"bwrap: "
_NOT_RUN: Final = b"bwrap: execvp "
_NOT_THERE: Final = b"No such file or directory"
_MOST: Final = 500


class SandboxMonitor(Monitor):
    """One container of bubblewrap from its creation to its end."""

    def __init__(self, plan: dict[str, Any], news: int) -> None:
        super().__init__(plan, news)
        self._said = b""

    def _begin(self) -> None:
        light = self._plan["light"]
        told, telling = os.pipe2(os.O_CLOEXEC)
        waiting, go = os.pipe2(os.O_CLOEXEC)
        options = os.open("options", os.O_RDONLY | os.O_CLOEXEC)
        argv = [*self._plan["runtime"], "--args", str(options), "--info-fd", str(telling), "--block-fd", str(waiting)]
        kept = [telling, waiting, options]
        if light["filter"]:
            kept.append(os.open(light["filter"], os.O_RDONLY | os.O_CLOEXEC))
            argv += ["--seccomp", str(kept[-1])]
        ends = self._open_pipes()
        try:
            self.pid = self._confined([*argv, "--", *light["command"]], ends, tuple(kept))
        finally:
            for end in (*ends, *kept):
                os.close(end)
        try:
            self.first = _told_pid(told)
            if not self.first:
                self._wait(self.pid, time.monotonic() + SHORT_SECONDS)
                self.pid = 0
                self._drain()
                raise Failed(self._said.decode("utf-8", "replace").strip() or "bubblewrap could not begin")
            self._check_limits()
            os.write(go, b".")
        finally:
            os.close(told)
            os.close(go)

    def _keep(self, stream: int, data: bytes) -> None:
        if stream == 2 and len(self._said) < _MOST:
            self._said += data[:_MOST]
        if self.first:
            super()._keep(stream, data)

    def _follow(self) -> int:
        code = super()._follow()
        self._drain()
        if code != 1 or not self._said.startswith(_NAME):
            return code
        if self._said.startswith(_NOT_RUN):
            return 127 if _NOT_THERE in self._said else 126
        raise Failed(self._said.decode("utf-8", "replace").strip())

    def clear(self) -> None:
        """Kills what is left."""
        self._asked = False
        for pid in {self.first, self.pid} - {0}:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        if self.pid and os.path.exists(f"/proc/{self.pid}"):
            try:
                self._wait(self.pid, time.monotonic() + SHORT_SECONDS)
            except (OSError, TimeoutError, Asked):
                pass


def _told_pid(file: int) -> int:
    """Reads the process that bubblewrap has made; 0 if it ended before."""
    text = b""
    while b"}" not in text:
        data = os.read(file, 1000)
        if not data:
            return 0
        text += data
    return int(json.loads(text)["child-pid"])
