"""Starts the monitors of containers: one process that has Python ready, and becomes each of them in a child."""

from __future__ import annotations

import logging
import subprocess
import threading
from pathlib import Path
from typing import Final

from .programs import command

log = logging.getLogger("asman.worker.oci")

_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_END_SECONDS: Final = 5.0


class MonitorStarter:
    """The process that starts monitors; it is started at first use, and again if somebody killed it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    def start(self, folder: Path) -> None:
        """Starts the monitor of a container.

        Args:
            folder: The container's folder, as an absolute path without line breaks.

        Raises:
            OSError: No process can be started.
        """
        line = f"{folder}\n".encode()
        with self._turn:
            try:
                self._write(line)
            except OSError:
                log.warning("the process that starts monitors of containers is gone; starting another")
                self._end()
                self._write(line)

    def close(self) -> None:
        """Ends the process; the monitors go on."""
        with self._turn:
            self._end()

    def _write(self, line: bytes) -> None:
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 - a program of our own
                command("monitors"),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        self._process.stdin.write(line)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None  # noqa: S101 - asked for above
        try:
            process.stdin.close()
            process.wait(_END_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
