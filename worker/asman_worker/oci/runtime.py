"""Finds the programs that containers need, and tries each runtime by running a container with it."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from asman_shared.errors import Unavailable
from asman_shared.units import MIB

from ..config import platform_name
from . import seccomp
from .cgroups import Layout, Limits
from .confinement import INIT, confined
from .container import Container, MonitorLost, Plan
from .monitor_starter import MonitorStarter
from .rootless.bubblewrap import INSTALL as BUBBLEWRAP
from .rootless.bubblewrap import command_of, find_bubblewrap, rlimits_of
from .rootless.call_filter import INSTALL as FILTER
from .rootless.call_filter import compile_filter
from .rootless.ids import INSTALL as IDS
from .rootless.ids import Ids, counts_processes
from .rootless.kept_files import Files

log = logging.getLogger("asman.worker.oci")

INSTALL: Final = "install crun (or runc) and tini (or catatonit)"
"""The remedy on a machine that lacks a program."""
HANDED: Final = "start the worker in a systemd scope with Delegate=yes (cgroups v2), or as root"
"""The remedy for an ordinary user without control groups."""
_OF_MACHINE: Final = ("/usr", "/bin", "/lib", "/lib64", "/nix/store")
"""Folders with what a program of this machine needs."""
_RUNTIMES: Final = ("crun", "runc")
_INITS: Final = ("tini-static", "catatonit", "docker-init")
"""Programs that can be the first process of any container, because they need no library: tini under two names."""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/libexec/podman:/usr/lib/podman"
_LOADER: Final = (b"ld-linux", b"ld-musl")
_HEAD: Final = 4096
_PROBE_SECONDS: Final = 60.0
_PROBE_LIMITS: Final = Limits(64 * MIB, 500, 32)


@dataclass(frozen=True, slots=True)
class Runtime:
    """The programs that run containers, and what of this machine they may use.

    Attributes:
        program: The runtime, as a path.
        init: The first process of each container, as a path.
        layout: The control groups of this machine, or of this user.
        ids: The ids of an ordinary user's containers; None for root's.
        root_by: The way in which a container's root is made, as in `container.Plan`.
        fuse: The program for one of these ways, as a path.
        light: Whether the program is bubblewrap.
        call_filter: The list of system calls for bubblewrap, compiled; None for none.
    """

    program: Path
    init: Path
    layout: Layout
    ids: Ids | None = None
    root_by: str = "overlay"
    fuse: str = ""
    light: bool = False
    call_filter: Path | None = None

    @property
    def name(self) -> str:
        """The runtime's name."""
        return self.program.name

    @property
    def words(self) -> tuple[str, ...]:
        """The program with its own options."""
        # Without root's rights it could only make groups in part, and says nothing of it.
        more = ("--cgroup-manager=disabled",) if self.ids is not None and "crun" in self.name else ()
        return (str(self.program), *more)

    @property
    def isolation(self) -> str:
        """The ids of containers and their limits, for people."""
        whose = "" if self.ids is None else "one user id each; " if self.ids.single else "user ids of their own; "
        return whose + self._limited

    @property
    def _limited(self) -> str:
        if self.layout.version:
            return f"memory, cpus and processes are limited by control groups of version {self.layout.version}"
        processes = "processes are limited by user namespaces" if counts_processes() else "processes are not limited"
        return f"memory is watched, {processes}, and cpus are not limited"

    def notes(self) -> list[str]:
        """Lists what containers lack here, with what to do about it."""
        if self.ids is None:
            return []
        found: list[str] = []
        if self.light:
            found.append(
                "containers by bubblewrap have one user id and no capabilities, /sys is empty, and they end with the "
                "process that watches them; use --executor oci"
            )
        elif self.ids.single:
            found.append(
                f"containers have one user id, so files lose their owners and no user can be changed to, because "
                f"{self.ids.why}; {IDS}"
            )
        if not self.layout.version:
            found.append(f"{self._limited}, because no control groups are handed to this user; {HANDED}")
        if self.light and self.call_filter is None:
            found.append(f"system calls of jobs are not filtered; {FILTER}")
        if self.root_by == "copy":
            found.append(
                "each container gets a copy of its image, because no overlay can be mounted here; put --data-dir on a "
                "disk of this machine, or install fuse-overlayfs"
            )
        return found

    def plan(
        self,
        notes: Path,
        name: str,
        image: tuple[Path, Path],
        limits: Limits,
        group: str,
        log_bytes: int,
        config: dict[str, Any],
        network: dict[str, Any] | None = None,
    ) -> Plan:
        """Returns what a container's monitor needs, and makes the container's control group if the runtime does not.

        Args:
            notes: The folder in which the runtime keeps its notes.
            name: The container's name.
            image: The image's root, and the file whose lock keeps it.
            limits: Its limits.
            group: The path of its control group.
            log_bytes: Largest size of the output that is kept, in bytes.
            config: Its configuration.
            network: The programs and commands that give it a network; empty for none.

        Raises:
            OSError: Its control group can't be made.
        """
        layout, bare = self.layout, not self.layout.version
        return Plan(
            self.words,
            notes,
            name,
            *image,
            layout.hidden,
            layout.checks(limits, group),
            layout.killed_for_memory(group),
            log_bytes,
            network or {},
            self.ids.written() if self.ids is not None else {},
            self.root_by,
            self.fuse,
            tuple(layout.make(limits, group)),
            limits.pids if bare and counts_processes() else 0,
            limits.memory if bare else 0,
            {"command": command_of(config), "filter": str(self.call_filter or "")} if self.light else {},
            rlimits_of(config) if self.light else {},
        )


def find_init() -> Path:
    """Returns a program that can be the first process of a container.

    Raises:
        Unavailable: There is none.
    """
    for name in _INITS:
        found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_PATH}")
        if found is not None and not any(each in _head(Path(found)) for each in _LOADER):
            return Path(found).resolve()
    raise Unavailable(f"no init program for containers is installed: {INSTALL}")


def runtimes(named: str = "") -> Iterator[Path]:
    """Yields the installed runtimes, the faster first.

    Args:
        named: The one that the operator chose, by name or path; empty for any.
    """
    for name in (named,) if named else _RUNTIMES:
        found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_PATH}")
        if found is not None:
            yield Path(found)


async def choose_runtime(
    named: str, folder: Path, group: str, starter: MonitorStarter, files: Files, *, light: bool = False
) -> Runtime:
    """Returns the first runtime with which a container really runs here.

    Args:
        named: The one that the operator chose, by name or path; empty for any.
        folder: A folder on the disk where containers will be.
        group: The path of the control group in which to try.
        starter: Starts the monitors.
        files: Reaches the files of containers, and knows their ids.
        light: Whether bubblewrap is meant instead of a runtime.

    Raises:
        Unavailable: None does; the message says why, and what to do.
    """
    if not seccomp.supports(platform_name().partition("/")[2]):
        raise Unavailable(f"the executor oci has no list of system calls for {platform_name()}")
    init = Path("/nowhere") if light else find_init()
    programs = list(runtimes(named))
    call_filter: Path | None = None
    layout = Layout.find() if files.ids is None else await asyncio.to_thread(Layout.of_user)
    whys: list[str] = []
    fuse = shutil.which("fuse-overlayfs", path=f"{os.environ.get('PATH', '')}:{_PATH}") or ""
    if light:
        programs = [each for each in (find_bubblewrap(named),) if each is not None]
        call_filter = folder / "calls.bpf"
        if not await asyncio.to_thread(compile_filter, seccomp.profile(platform_name().partition("/")[2]), call_filter):
            call_filter = None
    for root_by in ("overlay",) if files.ids is None else ("overlay", *(("fuse",) if fuse else ()), "copy"):
        for program in programs:
            runtime = Runtime(program, init, layout, files.ids, root_by, fuse, light, call_filter)
            why = await _tried(runtime, folder / f"probe-{secrets.token_hex(4)}", group, starter, files)
            if not why:
                return runtime
            log.info("the runtime %s does not work here (%s): %s", program, root_by, why)
            whys.append(f"{program.name}: {why}")
    if whys:
        raise Unavailable(f"no container can be run on this machine ({'; '.join(whys)})")
    if light:
        raise Unavailable(f"bubblewrap is not installed: {BUBBLEWRAP}")
    what = f"the runtime '{named[:80]}' is not" if named else "no runtime for containers is"
    raise Unavailable(f"{what} installed: {INSTALL}")


async def _tried(runtime: Runtime, folder: Path, group: str, starter: MonitorStarter, files: Files) -> str:
    """Runs the init program alone in a container, with all that a job has; returns the reason if that fails."""
    place = f"{group}/{folder.name}"
    image = folder / "image"
    container = Container(folder / folder.name, files)
    notes = folder / "runtime"
    clear = lambda: runtime.layout.clear(place)  # noqa: E731
    try:
        await asyncio.to_thread(image.mkdir, parents=True)
        image.chmod(0o755)
        lock = folder / "lock"
        lock.touch()
        config = _probe_config(runtime, place)
        plan = runtime.plan(notes, folder.name, (image, lock), _PROBE_LIMITS, place, MIB, config)
        await asyncio.to_thread(container.lay_out, config, plan, {}, ())
        container.start(starter)
        async with asyncio.timeout(_PROBE_SECONDS):
            end = await container.ended()
        code = end.get("code")
        return "" if code == 0 else str(end.get("failed") or f"what was tried ended with code {code}")
    except MonitorLost:
        return f"its monitor failed: {container.complaint[-300:]}"
    except TimeoutError:
        return f"nothing ran within {_PROBE_SECONDS:g} s"
    except OSError as error:
        return f"{error.strerror or error}"
    finally:
        try:
            await container.remove(runtime.words, notes, clear)
            await asyncio.to_thread(files.remove, folder)
            await asyncio.to_thread(runtime.layout.drop, group)
        except OSError as error:
            log.warning("can't remove %s: %s", folder, error)


def _probe_config(runtime: Runtime, place: str) -> dict[str, Any]:
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    ]
    command = [INIT, "--version"]
    if runtime.light:
        # It needs no first process, which others are tried by, so `true` of this machine is run.
        command = ["/bin/true"]
        mounts += [_read_only(place, place) for place in _OF_MACHINE if Path(place).is_dir()]
        mounts.append({"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["size=4096"]})  # noqa: S108
    else:
        mounts.append(_read_only(str(runtime.init), INIT))
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": command,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "noNewPrivileges": True,
        },
        "root": {"path": "merged"},
        "mounts": mounts,
        "linux": {
            **confined(runtime.layout, runtime.ids, _PROBE_LIMITS, place),
            "seccomp": seccomp.profile(platform_name().partition("/")[2]),
        },
    }


def _read_only(source: str, place: str) -> dict[str, Any]:
    return {"destination": place, "type": "bind", "source": source, "options": ["rbind", "ro"]}


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return _LOADER[0]
