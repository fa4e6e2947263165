"""One attempt as the configuration of a container: command, environment, files, limits and what it may not do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from asman_shared.definition import Definition
from asman_shared.errors import ExecutionError
from asman_shared.units import MIB, parse_size

from .command import argv
from .executor import AttemptSpec, Key

LABEL_WORKER: Final = "asman.worker"
LABEL_JOB: Final = "asman.job"
LABEL_ATTEMPT: Final = "asman.attempt"

INPUTS: Final = "/inputs"
OUTPUTS: Final = "/outputs"
CACHE: Final = "/job-cache"

#: What ordinary images need to change user, own files and bind low ports; without raw sockets and device nodes.
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
_LEAST_MEMORY: Final = 6 * MIB
_RESERVED: Final = (INPUTS, OUTPUTS, CACHE, "/proc", "/sys", "/dev")


@dataclass(frozen=True, slots=True)
class Confines:
    """What the operator says about every container.

    Attributes:
        incarnation: The worker's.
        network: The engine's network by name.
        memory: Bytes for a job that did not say how much it needs; 0 for any.
        pids: Most processes.
        log_bytes: How much of its output the engine keeps.
    """

    incarnation: str
    network: str = "bridge"
    memory: int = 0
    pids: int = 4096
    log_bytes: int = 64 * MIB


def container_name(incarnation: str, key: Key) -> str:
    """The name of an attempt's container, its own among all workers of an engine."""
    return f"asman-{key[0][:12]}-{key[1]}-{incarnation[:6]}"


def job_environment(spec: AttemptSpec, inputs: str, outputs: str, cache: str) -> dict[str, str]:
    """The environment of the process: the job's own, then where it finds things."""
    return {
        **(spec.definition.env or {}),
        "JOB_ID": spec.job,
        "JOB_INPUTS": inputs,
        "JOB_OUTPUTS": outputs,
        "JOB_CACHE": cache,
        "JOB_URL_PREFIX": spec.url,
        "JOB_INPUTS_URL_PREFIX": f"{spec.url}/inputs/",
        "JOB_OUTPUTS_URL_PREFIX": f"{spec.url}/outputs/",
    }


def container_config(spec: AttemptSpec, image: str, confines: Confines) -> dict[str, Any]:
    """The engine's configuration of an attempt's container (Docker Engine API 1.41, ContainerCreate).

    Raises:
        BadDefinition: The command can't be read.
        ExecutionError: A config file's path can't be mounted.
    """
    definition = spec.definition
    env = job_environment(spec, INPUTS, OUTPUTS, CACHE)
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
        "HostConfig": _host_config(spec, confines),
    }
    if (command := argv(definition.command, env)) is not None:
        config["Cmd"] = command
    if (entrypoint := argv(definition.entrypoint, env)) is not None:
        config["Entrypoint"] = entrypoint
    if definition.workdir:
        config["WorkingDir"] = definition.workdir
    return config


def _host_config(spec: AttemptSpec, confines: Confines) -> dict[str, Any]:
    memory = max(spec.shape.memory or confines.memory, _LEAST_MEMORY) if spec.shape.memory or confines.memory else 0
    host: dict[str, Any] = {
        "Binds": _binds(spec),
        "NetworkMode": confines.network,
        "NanoCpus": max(spec.shape.cpus, 10) * 1_000_000,
        "Memory": memory,
        "MemorySwap": memory,
        "PidsLimit": confines.pids,
        "Init": True,
        "SecurityOpt": ["no-new-privileges"],
        "CapDrop": ["ALL"],
        "CapAdd": list(CAPABILITIES),
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": f"{max(confines.log_bytes // 2, MIB)}", "max-file": "2"},
        },
        "RestartPolicy": {"Name": "no"},
    }
    if spec.definition.shm_size:
        host["ShmSize"] = parse_size(spec.definition.shm_size, field="definition.shmSize")
    if spec.shape.gpus:
        host["DeviceRequests"] = [{"Driver": "", "Count": spec.shape.gpus, "Capabilities": [["gpu"]]}]
    return host


def _binds(spec: AttemptSpec) -> list[str]:
    """Folders and files of the host in the container; ``z`` lets an SELinux host share them."""
    binds = [
        f"{spec.folder.inputs}:{INPUTS}:ro,z",
        f"{spec.folder.outputs}:{OUTPUTS}:z",
        f"{spec.cache}:{CACHE}:z",
    ]
    for target, source in spec.mounts.items():
        if ":" in target or any(target == path or target.startswith(path + "/") for path in _RESERVED):
            raise ExecutionError(f"the config file '{target}' can't be put there; choose another path")
        binds.append(f"{source}:{target}:ro,z")
    return binds


def image_of(definition: Definition) -> str:
    """The image that a definition names.

    Raises:
        ExecutionError: It names none, or asks for a build.
    """
    if definition.build is not None:
        raise ExecutionError("this worker does not build images; give one by name", fault="worker")
    if not definition.image:
        raise ExecutionError("the job names no image; give one, such as alpine")
    return definition.image
