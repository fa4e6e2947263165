"""Translates an attempt into the configuration of a container without an engine (OCI runtime specification 1.0)."""

from __future__ import annotations

import platform
import resource
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from asman_shared.errors import ExecutionError
from asman_shared.units import MIB

from ..config import platform_name
from ..containers.config import CAPABILITIES, HOSTS, Confines, binds, shared_memory, written
from ..containers.image_volumes import OURS, check_overlaps, own_binds
from ..containers.streams import redirected
from ..execution.command import argv
from ..execution.environment import CACHE, INPUTS, OUTPUTS, job_environment
from ..execution.interface import AttemptSpec
from . import seccomp
from .cgroups import Limits
from .confinement import INIT, confined
from .image_store import StoredImage
from .network import Lease
from .programs.monitor import FIRST_KILLED
from .rootless.ids import Ids
from .runtime import Runtime
from .users import User, find_user, inside, kind_of, links_on

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHARED_MEMORY: Final = 64 * MIB
_TERMINALS: Final = 5
"""The group of terminals."""
_OPEN_FILES: Final = 1_048_576
_MASKED: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
_READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_OWN: Final = ("/proc/", "/sys/", "/dev/")
"""Folders that no image has a say in."""
_NO_IPV6: Final = {"net.ipv6.conf.default.disable_ipv6": "1"}
"""Interfaces that come later have no IPv6, for which there are no rules; loopback has it."""
_IPV6: Final = Path("/proc/sys/net/ipv6")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A container's configuration.

    Attributes:
        config: The content of ``config.json``.
        limits: The limits that must be in force before it starts.
        volumes: Folders to make for the volumes of the image that it has no files for.
        places: The places of mounts in the container's own layer, which are not its files.
    """

    config: dict[str, Any]
    limits: Limits
    volumes: tuple[Path, ...]
    places: tuple[str, ...]


def bundle(
    spec: AttemptSpec,
    image: StoredImage,
    confines: Confines,
    runtime: Runtime,
    *,
    folder: Path,
    group: str,
    lease: Lease | None = None,
) -> Bundle:
    """Returns the configuration of an attempt's container.

    Args:
        spec: The attempt.
        image: The image.
        confines: The operator's settings.
        runtime: What runs it.
        folder: The folder of the container.
        group: The path of its control group.
        lease: Its place in the network; None for no network.

    Raises:
        BadDefinition: The command can't be read.
        ExecutionError: The image's settings or the job's do not make a container.
    """
    limits = Limits(confines.memory_of(spec.shape), max(spec.shape.cpus, 10), confines.pids)
    _check_links(image)
    ids = runtime.ids
    user = find_user(image.root, image.user)
    if ids is not None:
        _check_user(user, ids, runtime)
    mounts = [*_system_mounts(spec, limits, ids), _bind(runtime.init, INIT, read_only=True)]
    volumes: list[Path] = []
    own = [*binds(spec, confines), *own_binds(spec.folder, written(spec), image.volumes)]
    for volume in image.volumes:
        # One inside our folders has a mount of its own already, and one that the image has is in its layer.
        if kind_of(image.root, volume) is None and not _ours(volume):
            volumes.append(folder / "volumes" / str(len(volumes)))
            own.append(f"{volumes[-1]}:{volume}:z")
    if lease is not None:
        own += _of_network(spec, lease)
    places: list[str] = []
    for each in own:
        source, place, options = each.rsplit(":", 2)
        real = inside(image.root, place)
        if real != place and (real == "/" or f"{real}/".startswith(_OWN)):
            raise ExecutionError(
                f"the image has a link by which {place[:200]} is {real[:200]}, where a container has its own system: "
                "remove that link from the image"
            )
        places.append(real)
        # Runtimes differ in links that lead to nothing.
        mounts.append(_bind(Path(source), real, read_only="ro" in options.split(",")))
    # A folder is mounted before what is mounted inside it.
    ours = mounts[-len(own) :]
    mounts[-len(own) :] = sorted(ours, key=lambda mount: str(mount["destination"]).count("/"))
    config: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": _process(spec, image, user, ids),
        "root": {"path": "merged", "readonly": False},
        "hostname": _hostname(spec),
        "mounts": mounts,
        "linux": {
            **confined(runtime.layout, ids, limits, group, (user.uid, user.gid)),
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
            "seccomp": seccomp.profile(platform_name().partition("/")[2]),
            "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0", **(_NO_IPV6 if _IPV6.exists() else {})},
        },
    }
    return Bundle(config, limits, tuple(volumes), tuple(places))


def _check_user(user: User, ids: Ids, runtime: Runtime) -> None:
    """Refuses an image whose user can't be had here.

    Raises:
        ExecutionError: This worker has no such id.
    """
    if not ids.holds(user.uid, user.gid):
        raise ExecutionError(
            f"the image's user {user.uid} (group {user.gid}) is not among the ids that this worker may use "
            "(/etc/subuid, /etc/subgid)",
            fault="worker",
        )
    if ids.single and user.uid and "runc" in runtime.name:
        raise ExecutionError(
            f"the image's user is {user.uid}, and runc has root alone here, because {ids.why}: install crun",
            fault="worker",
        )


def _of_network(spec: AttemptSpec, lease: Lease) -> Iterator[str]:
    """Yields mounts of the files by which a container with a network finds names; a job's config file stays."""
    hosts = f"{HOSTS}{lease.address}\t{_hostname(spec)}\n"
    servers = "".join(f"nameserver {each}\n" for each in lease.name_servers)
    for place, text in (("/etc/hosts", hosts), ("/etc/resolv.conf", servers)):
        if place not in spec.mounts:
            file = spec.folder.root / place.rpartition("/")[2]
            file.write_text(text)
            file.chmod(0o644)
            yield f"{file}:{place}:ro,z"


def _hostname(spec: AttemptSpec) -> str:
    return f"asman-{spec.job[:12]}"


def _process(spec: AttemptSpec, image: StoredImage, user: User, ids: Ids | None) -> dict[str, Any]:
    definition = spec.definition
    own = job_environment(spec, INPUTS, OUTPUTS, CACHE)
    env = {"PATH": _PATH, "HOME": user.home, "HOSTNAME": _hostname(spec), **image.env, **own}
    command = argv(definition.command, own)
    entrypoint = argv(definition.entrypoint, own)
    if command is None and entrypoint is None:
        command = list(image.command)
    words = redirected(definition, entrypoint, command)
    words = words or [*(image.entrypoint if entrypoint is None else entrypoint), *(command or ())]
    if not words:
        raise ExecutionError("no command specified: the job has none, and its image has none either")
    rights = [f"CAP_{each}" for each in CAPABILITIES]
    groups = [each for each in user.groups if ids is None or (not ids.single and ids.holds(0, each))]
    return {
        **({"oomScoreAdj": int(FIRST_KILLED)} if ids is not None else {}),
        "terminal": False,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": groups, "umask": 0o022},
        "args": [INIT, "--", *words],
        "env": [f"{name}={value}" for name, value in env.items()],
        "cwd": _working_directory(spec, image),
        # A user that is not root has no rights beyond its own, as everywhere; it keeps the bound.
        "capabilities": {
            "bounding": rights,
            "effective": rights if user.uid == 0 else [],
            "permitted": rights if user.uid == 0 else [],
        },
        "rlimits": [
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            {"type": "RLIMIT_NOFILE", "soft": _open_files(), "hard": _open_files()},
        ],
        "noNewPrivileges": True,
    }


def _working_directory(spec: AttemptSpec, image: StoredImage) -> str:
    """Returns the working directory, which the runtime makes if the image lacks it.

    Raises:
        ExecutionError: It can't be one.
    """
    chosen = spec.definition.workdir or image.workdir or "/"
    if not chosen.startswith("/"):
        raise ExecutionError(f"the working directory '{chosen[:200]}' is invalid, it needs to be an absolute path")
    place = inside(image.root, chosen)
    found = kind_of(image.root, place)
    if found is not None and not stat.S_ISDIR(found):
        raise ExecutionError(f"Cannot mkdir: {place[:200]} is not a directory")
    if place.startswith(f"{INPUTS}/") and not (spec.folder.inputs / place.removeprefix(f"{INPUTS}/")).is_dir():
        raise ExecutionError(f"the container could not be started: mkdir {place[:200]}: read-only file system")
    return place


def _check_links(image: StoredImage) -> None:
    """Refuses an image in which a link makes one of our folders another one of ours or a volume."""
    links: dict[str, str] = {}
    for place in (*OURS, *image.volumes):
        links.update(links_on(image.root, place))
    for volume in image.volumes:
        real = inside(image.root, volume)
        if real != volume and _ours(real) and not _ours(volume):
            raise ExecutionError(
                f"the volumes that the image declares ({', '.join(image.volumes)[:500]}) can't be mounted beside the "
                "job's folders: remove VOLUME from the image's Dockerfile"
            )
    check_overlaps(links, image.volumes)


def _ours(path: str) -> bool:
    return any(path == ours or path.startswith(f"{ours}/") for ours in OURS)


def _system_mounts(spec: AttemptSpec, limits: Limits, ids: Ids | None) -> Iterator[dict[str, Any]]:
    size = shared_memory(spec, limits.memory) if spec.definition.shm_size else _SHARED_MEMORY
    usual = ("nosuid", "noexec", "nodev")
    yield _file_system("proc", "/proc", *usual)
    yield _file_system("tmpfs", "/dev", "nosuid", "strictatime", "mode=755", "size=65536k")
    known = ids is None or (not ids.single and ids.holds(0, _TERMINALS))
    group = (f"gid={_TERMINALS}",) if known else ()
    yield _file_system("devpts", "/dev/pts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", *group)
    yield _file_system("sysfs", "/sys", *usual, "ro")
    if ids is None:
        yield _file_system("cgroup", "/sys/fs/cgroup", *usual, "relatime", "ro")
    yield _file_system("mqueue", "/dev/mqueue", *usual)
    yield _file_system("tmpfs", "/dev/shm", *usual, "mode=1777", f"size={size}", source="shm")  # noqa: S108


def _file_system(kind: str, place: str, *options: str, source: str = "") -> dict[str, Any]:
    return {"destination": place, "type": kind, "source": source or kind, "options": list(options)}


def _bind(source: Path, place: str, *, read_only: bool) -> dict[str, Any]:
    options = ["rbind", "rprivate", "nosuid", "nodev", "ro" if read_only else "rw"]
    return {"destination": place, "type": "bind", "source": str(source), "options": options}


def _open_files() -> int:
    """Returns the largest number of open files of a process: never more than this process may set."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)


def supported() -> bool:
    """Whether this machine's processor is one for which there is a list of system calls."""
    return platform.system() == "Linux" and seccomp.supports(platform_name().partition("/")[2])
