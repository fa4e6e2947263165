"""A pgbouncer before a Postgres of the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import pytest
from sqlalchemy.engine import make_url

from devtools.patience import PATIENCE
from devtools.ports import free_port, wait_for_port
from devtools.postgres import PostgresServer


class Pgbouncer:
    """Runs inside ``with``. Where it is not installed, root's tests fail and others skip, saying why.

    Args:
        server: The server behind it.
        pooling: ``session`` or ``transaction``.
        size: Most connections to a database.
    """

    def __init__(self, server: PostgresServer, pooling: str, size: int = 20) -> None:
        self._server = server
        self._pooling = pooling
        self._size = size
        self.port = free_port()

    def url(self, direct: str) -> str:
        """The URL of a database through the pooler."""
        return make_url(direct).set(port=self.port).render_as_string(hide_password=False)

    def __enter__(self) -> Pgbouncer:
        program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
        if program is None:
            if os.geteuid() == 0:
                pytest.fail("pgbouncer is not installed; make setup installs what is missing", pytrace=False)
            pytest.skip("pgbouncer is not installed")
        self._folder = Path(tempfile.mkdtemp(prefix="asman-pgbouncer-", dir="/tmp"))
        settings = self._folder / "settings.ini"
        (self._folder / "users").write_text('"asman" ""\n')
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self._server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nauth_type = any\nauth_file = {self._folder}/users\nunix_socket_dir =\n"
            f"pool_mode = {self._pooling}\ndefault_pool_size = {self._size}\n"
        )
        # With the type of authentication 'any', all users of the pooler are this one on the server.
        settings.write_text(settings.read_text().replace("* = host", "* = user=asman host"))
        command = [program, str(settings)]
        if os.geteuid() == 0:  # it refuses to run as root
            user = pwd.getpwnam("nobody")
            self._folder.chmod(0o755)
            command = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--", *command]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for_port(self.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
        shutil.rmtree(self._folder, ignore_errors=True)
