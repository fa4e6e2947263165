"""A real Postgres: a server on a free port, in a folder that is removed with it.

The server refuses to run as root, so as root it runs as the user that its Debian package made, or as ``nobody``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from devtools.patience import PATIENCE
from devtools.ports import free_port

SUPERUSER = "asman"


def programs() -> Path | None:
    """Returns the folder of the server's programs: the newest of Debian's versions, else the one on the PATH."""
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def _user() -> pwd.struct_passwd:
    """Returns the user that the server runs as."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("there is neither a user 'postgres' nor a user 'nobody' to run Postgres as")


class PostgresServer:
    """One server; it may be stopped, killed, frozen and started again, and keeps its data and its port.

    Args:
        programs: The folder of the server's programs.
        settings: Its settings, each as ``name=value``.
        of: The running server that it is a standby of; None for a server of its own.
    """

    def __init__(
        self, programs: Path, *, settings: Sequence[str] = ("fsync=off",), of: PostgresServer | None = None
    ) -> None:
        # The tests end processes, not machines, so data in the kernel's memory is safe.
        self._settings = [word for setting in settings for word in ("-c", setting)]
        self.port = free_port()
        self._programs = programs
        self._user = _user()
        self._folder = Path(tempfile.mkdtemp(prefix="asman-postgres-", dir="/tmp"))
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._names = count(1)
        os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        if of is not None:
            where = ("-h", "127.0.0.1", "-p", str(of.port), "-U", SUPERUSER)
            self._run("pg_basebackup", *where, "-D", str(self._data), "-R", "-X", "stream", "--checkpoint=fast")
            return
        self._run("initdb", "-D", str(self._data), "-U", SUPERUSER, "--auth=trust", "-E", "UTF8", "--no-sync")

    def _as_user(self, program: str, *arguments: str) -> list[str]:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() != 0:
            return command
        user = self._user
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--", *command]

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603
            self._as_user(program, *arguments),
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{program} failed: {done.stderr}"
        return done.stdout

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Returns the id of the server's first process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts the server; returns when it takes connections.

        After a kill, its orphans may keep its memory for a moment; until then it does not start.
        """
        deadline = time.monotonic() + PATIENCE
        while not self._ready():
            assert time.monotonic() < deadline, f"Postgres does not start\n{self._log.read_text(errors='replace')}"
            if not self.running:
                with self._log.open("ab") as log:
                    self._process = subprocess.Popen(  # noqa: S603
                        self._as_user(
                            "postgres",
                            *("-D", str(self._data), "-p", str(self.port), "-k", str(self._folder)),
                            *("-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"),
                            *self._settings,
                        ),
                        cwd=self._folder,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
            time.sleep(0.05)

    def _ready(self) -> bool:
        if not self.running:
            return False
        asked = subprocess.run(  # noqa: S603
            [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)],
            timeout=PATIENCE,
            check=False,
        )
        return asked.returncode == 0 and self.running

    def stop(self) -> None:
        """Ends connections and the server (SIGINT, a fast shutdown); returns when it has gone."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Ends it as a crash would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stops all its processes (SIGSTOP): connections stay open without answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resumes all its processes (SIGCONT)."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        if self._process is None or not self.running:
            return
        pid = self._process.pid
        os.kill(pid, number)
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            try:
                os.kill(int(child), number)
            except ProcessLookupError:
                continue

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)

    def promote(self) -> None:
        """Makes a primary of a standby; returns when it takes writes."""
        self._run("pg_ctl", "promote", "-D", str(self._data))

    def set(self, name: str, value: str) -> None:
        """Changes a setting of the running server."""
        self.sql(f"ALTER SYSTEM SET {name} = '{value}'", database="postgres")
        self.sql("SELECT pg_reload_conf()", database="postgres")

    def own(self, *files: Path) -> list[str]:
        """Copies files to where the server may read them, with the rights that it asks of keys; returns their paths."""
        made = []
        for file in files:
            copy = self._folder / file.name
            shutil.copyfile(file, copy)
            copy.chmod(0o600)
            os.chown(copy, self._user.pw_uid, self._user.pw_gid)
            made.append(str(copy))
        return made

    def new_database(self) -> str:
        """Creates an empty database; returns its URL."""
        name = f"test_{next(self._names)}"
        self.sql(f"CREATE DATABASE {name}", database="postgres")
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{name}"

    def sql(self, statement: str, *, database: str) -> str:
        """Runs one statement as the superuser."""
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", SUPERUSER, "-d", database)
        return self._run("psql", *where, "-v", "ON_ERROR_STOP=1", "-qAtc", statement)

    def remove(self) -> None:
        """Ends it and removes all its files."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
