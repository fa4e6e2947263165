"""Translates an attempt into a container's configuration: command, environment, files, limits and restrictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from asman_shared.definition import Definition, Shape
from asman_shared.definition_check import is_reserved, volume_of
from asman_shared.errors import ExecutionError
from asman_shared.units import MIB, format_size, parse_size

from ..execution.command import argv
from ..execution.environment import CACHE, INPUTS, OUTPUTS, job_environment
from ..execution.interface import AttemptSpec, Key
from .image_volumes import own_binds
from .streams import redirected

LABEL_WORKER: Final = "asman.worker"
LABEL_JOB: Final = "asman.job"
LABEL_ATTEMPT: Final = "asman.attempt"

CAPABILITIES: Final = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
)
"""Capabilities that images need to change user, own files and bind low ports; no raw sockets or device nodes."""
NO_NETWORK: Final = "none"

_LEAST_MEMORY: Final = 6 * MIB
_LEAST_SHARE: Final = 64 * MIB
HOSTS: Final = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
"""The hosts file of a container without a network."""


@dataclass(frozen=True, slots=True)
class Confines:
    """The operator's settings for every container.

    Attributes:
        incarnation: The worker's incarnation.
        network: Name of the engine's network, or `NO_NETWORK`.
        memory: Memory of all jobs together, in bytes; 0 for no limit.
        cpus: Cpus of all jobs together, in thousandths.
        pids: Largest number of processes.
        log_bytes: Size of the output that the engine keeps, in bytes.
        runtime: Name of the engine's runtime, such as ``runsc``; empty for the default.
        disk: Bytes that the container may write outside of its outputs, if the engine's storage can enforce that limit;
            otherwise 0.
        ulimits: Limits of a process by name, where the engine's own limits are unreliable.
    """

    incarnation: str
    network: str = "bridge"
    memory: int = 0
    cpus: int = 0
    pids: int = 4096
    log_bytes: int = 64 * MIB
    runtime: str = ""
    disk: int = 0
    ulimits: tuple[tuple[str, int], ...] = ()

    def memory_of(self, shape: Shape) -> int:
        """Returns the memory of a job, in bytes: as requested, otherwise its share by cpus, so that all jobs fit.

        It is 0 when the operator set no limit.
        """
        if shape.memory:
            return max(shape.memory, _LEAST_MEMORY)
        if not self.memory:
            return 0
        share = self.memory * min(shape.cpus, self.cpus) // self.cpus if self.cpus else self.memory
        return max(share, min(self.memory, _LEAST_SHARE))


def container_name(incarnation: str, key: Key, step: int = 0) -> str:
    """Returns the name of an attempt's container, unique among all workers of an engine.

    Args:
        incarnation: The worker's incarnation.
        key: The attempt.
        step: Number of the command, for a job with steps.
    """
    return f"asman-{key[0][:12]}-{key[1]}-{incarnation[:6]}{f'-step{step}' if step else ''}"


def container_config(spec: AttemptSpec, image: str, confines: Confines, volumes: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the configuration of an attempt's container (Docker Engine API 1.41, ContainerCreate).

    Args:
        spec: The attempt.
        image: The image's id.
        confines: The operator's settings.
        volumes: The volumes that the image declares.

    Raises:
        BadDefinition: The command can't be read.
        ExecutionError: A config file's path can't be mounted, or a volume of the image would hide a job's folder.
    """
    definition = spec.definition
    env = job_environment(spec, INPUTS, OUTPUTS, CACHE)
    if spec.gpus:
        # A container's gpus are numbered anew from 0. A job may choose among its own.
        env.setdefault("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(len(spec.gpus)))))
    config: dict[str, Any] = {
        "Image": image,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": {
            LABEL_WORKER: confines.incarnation,
            LABEL_JOB: spec.job,
            LABEL_ATTEMPT: str(spec.attempt),
        },
        "Tty": False,
        "OpenStdin": False,
        # A job is no service: a health check of the image would run beside it and write to its folders.
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGTERM",
        "HostConfig": _host_config(spec, confines, volumes),
    }
    command, entrypoint = argv(definition.command, env), argv(definition.entrypoint, env)
    if shell := redirected(definition, entrypoint, command):
        entrypoint, command = shell[:1], shell[1:]
    if command is not None:
        config["Cmd"] = command
    if entrypoint is not None:
        config["Entrypoint"] = entrypoint
    if definition.workdir:
        config["WorkingDir"] = definition.workdir
    if confines.network == NO_NETWORK:
        # The engine then sets up no network, which makes the start faster; loopback exists anyway.
        config["NetworkDisabled"] = True
    return config


def _host_config(spec: AttemptSpec, confines: Confines, volumes: Sequence[str]) -> dict[str, Any]:
    memory = confines.memory_of(spec.shape)
    host: dict[str, Any] = {
        "Binds": binds(spec, confines) + own_binds(spec.folder, written(spec), volumes),
        "NetworkMode": confines.network,
        "NanoCpus": max(spec.shape.cpus, 10) * 1_000_000,
        "Memory": memory,
        "MemorySwap": memory,
        "PidsLimit": confines.pids,
        "Ulimits": [{"Name": name, "Soft": most, "Hard": most} for name, most in (("core", 0), *confines.ulimits)],
        "Init": True,
        "Privileged": False,
        "SecurityOpt": ["no-new-privileges"],
        "CapDrop": ["ALL"],
        "CapAdd": list(CAPABILITIES),
        "IpcMode": "private",
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": f"{max(confines.log_bytes // 2, MIB)}", "max-file": "2"},
        },
        "RestartPolicy": {"Name": "no"},
    }  # fmt: skip
    if confines.runtime:
        host["Runtime"] = confines.runtime
    if confines.disk:
        host["StorageOpt"] = {"size": str(confines.disk)}
    if spec.definition.shm_size:
        host["ShmSize"] = shared_memory(spec, memory)
    if spec.gpus:
        host["DeviceRequests"] = [{"Driver": "", "DeviceIDs": list(spec.gpus), "Capabilities": [["gpu"]]}]
    return host


def shared_memory(spec: AttemptSpec, memory: int) -> int:
    """Returns the size of ``/dev/shm``, in bytes; it counts as the job's own memory.

    Raises:
        ExecutionError: It is larger than the job's memory.
    """
    wanted = parse_size(spec.definition.shm_size or "", field="definition.shmSize")
    if memory and wanted > memory:
        raise ExecutionError(
            f"shmSize is {format_size(wanted)}, more than the job's memory of {format_size(memory)}: "
            "ask for more in requirements.memory"
        )
    return wanted


def binds(spec: AttemptSpec, confines: Confines) -> list[str]:
    """Returns the mounts of host folders and files; ``z`` lets an SELinux host share them.

    Raises:
        ExecutionError: A config file's path can't be mounted.
    """
    made = [
        f"{spec.folder.inputs}:{INPUTS}:ro,z",
        *(f"{source}:{target}:z" for target, source in written(spec).items()),
        f"{spec.cache}:{CACHE}:z",
    ]
    if confines.network == NO_NETWORK and "/etc/hosts" not in spec.mounts:
        # Without a network the engine writes no hosts file, and `localhost` would not resolve.
        hosts = spec.folder.root / "hosts"
        hosts.write_text(HOSTS)
        hosts.chmod(0o644)
        made.append(f"{hosts}:/etc/hosts:ro,z")
    for target, source in spec.mounts.items():
        if is_reserved(target):
            raise ExecutionError(f"the config file '{target}' can't be put there; choose another path")
        made.append(f"{source}:{target}:ro,z")
    # Without ``z``: the operator's folders keep their labels.
    made += [f"{folder}:{target}:{'rw' if writable else 'ro'}" for target, (folder, writable) in spec.shared.items()]
    return made


def written(spec: AttemptSpec) -> dict[str, Path]:
    """Returns the folders whose contents outlive a job's containers: their places on this machine by their path there.

    With volumes these are the outermost ones, and ``/outputs`` is not mounted besides: through it, a command could put
    a link in the place of a folder that is mounted for the next one.
    """
    volumes = spec.definition.volumes
    if not volumes:
        return {OUTPUTS: spec.folder.outputs}
    return {path: spec.folder.volume(path) for path in volumes if volume_of(path, volumes) == path}


def is_build(definition: Definition) -> bool:
    """Whether an image must be built: a build that only names a platform selects the image to pull."""
    return definition.build is not None and not definition.image


def image_of(definition: Definition) -> str:
    """Returns the image that a definition names.

    Raises:
        ExecutionError: The definition names no image.
    """
    if not definition.image:
        raise ExecutionError("the job names no image; give one, such as alpine")
    return definition.image
