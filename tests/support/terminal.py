"""A command on a terminal of its own, as a person has it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from devtools.asman_processes import asman_command, clean_environment
from devtools.patience import PATIENCE


class OnTerminal:
    """A command on a terminal of its own, as a person has it.

    Made by `on_terminal`.
    """

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        self._shown = ""
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                data = b""
            with self._more:
                self._shown += data.decode(errors="replace")
                self._more.notify_all()
                if not data:
                    return

    @property
    def shown(self) -> str:
        """All that was written so far, with what moves the cursor and colours."""
        with self._more:
            return self._shown

    def sees(self, text: str) -> None:
        """Waits until a text was shown."""
        with self._more:
            found = self._more.wait_for(lambda: text in self._shown, PATIENCE)
        assert found, f"{text!r} was not shown:\n{self._shown[-3000:]}"

    def types(self, text: str) -> None:
        """Types; Ctrl-C is ``\\x03``."""
        os.write(self._master, text.encode())

    def ends(self) -> int:
        """Waits for its end; its exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code


@contextmanager
def on_terminal(*arguments: str, lines: int = 30, columns: int = 120) -> Iterator[OnTerminal]:
    """Runs an ``asman`` command on a terminal of this size; it is ended with the block."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    environment = {**clean_environment(), "TERM": "xterm-256color"}
    for name in ("COLUMNS", "NO_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [*asman_command(), *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal
    )
    os.close(slave)
    try:
        yield OnTerminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)
