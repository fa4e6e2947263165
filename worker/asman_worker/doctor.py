"""Checks whether this machine can run jobs; each finding says how to fix it."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp
import psutil
from aiodocker import Docker

from asman_shared.address import Address
from asman_shared.errors import AsmanError, BadRequest, Misconfigured
from asman_shared.link.proxies import proxy_for, shown
from asman_shared.transfer.http import proxy_fault
from asman_shared.units import GIB, format_size

from .config import WorkerConfig
from .containers.config import LABEL_WORKER
from .containers.network import LABEL_NETWORK, REMEDY, OwnNetwork, leftovers
from .containers.shared_engine import INTERNET, OPEN
from .execution import job_paths
from .execution.gpus import choose, discover
from .files.tree import remove_tree
from .images.engine import ANSWER_SECONDS, LOST, close_engine, open_engine
from .neighbours import REMEDY as REMEDY_OF_NEIGHBOURS
from .neighbours import machine, offers, twice
from .oci.cgroups import PARENT
from .oci.choice import WITHOUT_ENGINE, choose_executor
from .oci.host import BUBBLEWRAP
from .oci.host import REMEDY as OCI_REMEDY
from .oci.monitor_starter import MonitorStarter
from .oci.network import OwnBridge
from .oci.rootless.bubblewrap import INSTALL as INSTALL_BUBBLEWRAP
from .oci.rootless.kept_files import Files, open_files
from .oci.runtime import INSTALL, Runtime, choose_runtime

Mark = Literal["ok", "warning", "problem"]

_LEAST_DISK: Final = 5 * GIB
_CLOCK_SECONDS: Final = 30.0
_SECONDS: Final = 15.0
_SEEN: Final = "folder seen by the engine"
_WITHOUT_ENGINE: Final = "containers without an engine"
_OLDEST_API: Final = (1, 41)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        what: The name of the check.
        mark: The verdict.
        says: One sentence for a person.
        remedy: How to fix it; empty when nothing is wrong.
    """

    what: str
    mark: Mark
    says: str
    remedy: str = ""


async def examine(config: WorkerConfig) -> AsyncIterator[Finding]:
    """Checks everything that a worker with these settings needs, one by one, without lasting changes."""
    yield _data_folder(config)
    yield _disk(config)
    yield _gpus(config)
    yield _neighbours()
    kind, _ = await choose_executor(config)
    tried: dict[str, Runtime | str] = {}
    if kind == "docker":
        async for finding in _engine(config):
            if finding.what == "engine" and finding.mark == "problem":
                tried = {each: await _tried(config, each, used=False) for each in WITHOUT_ENGINE}
                yield _beside_others(config, _with_another(finding, tried))
            else:
                yield finding
    elif kind == "process":
        yield Finding("executor", "warning", "jobs run without containers, as this user", "use --executor docker")
        yield await _job_folders(config)
    for each in WITHOUT_ENGINE:
        if each not in tried:
            tried[each] = await _tried(config, each, used=kind == each)
        async for finding in _without_engine(config, each, tried[each], used=kind == each):
            yield finding
    yield await _executors(config, tried)
    yield _git()
    for target in config.targets if config.queue else ():
        async for finding in _hub(target):
            yield finding
    if not config.queue:
        yield Finding("hub", "warning", "no queue was named, so no hub was checked", "name the queue's URL")


def _with_another(finding: Finding, tried: dict[str, Runtime | str]) -> Finding:
    """Adds to what is wrong with the engine the executor that works without one, if any does."""
    works = next((kind for kind, runtime in tried.items() if isinstance(runtime, Runtime)), "")
    more = f"; or use --executor {works}, which needs no engine and works here" if works else ""
    return replace(finding, remedy=f"{finding.remedy}{more}")


def _beside_others(config: WorkerConfig, finding: Finding) -> Finding:
    """Makes what is wrong with the usual engine a warning where a worker runs that must have another way."""
    if config.docker or not offers():
        return finding
    says = f"{finding.says}; but a worker runs on this machine, which uses another engine or executor"
    remedy = (
        f"to check what it uses, give --docker (or $DOCKER_HOST) and --executor as it has them; else {finding.remedy}"
    )
    return replace(finding, mark="warning", says=says, remedy=remedy)


async def _job_folders(config: WorkerConfig) -> Finding:
    """Checks whether processes can have their folders where a container has them."""
    folder = config.data_dir.expanduser().absolute() / f"probe-{secrets.token_hex(4)}"
    try:
        why = await asyncio.to_thread(job_paths.try_out, folder)
    except OSError as error:
        why = str(error)
    finally:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(remove_tree, folder)
    if not why:
        return Finding("folders of jobs", "ok", "jobs that name /inputs and /outputs have them there")
    says = f"jobs have no /inputs and /outputs, only $JOB_INPUTS and $JOB_OUTPUTS: {why}"
    return Finding("folders of jobs", "warning", says, "allow mount or user namespaces, or name the variables in jobs")


def _data_folder(config: WorkerConfig) -> Finding:
    path = config.data_dir.expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f"probe-{secrets.token_hex(4)}"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        says = f"{path} can't be written: {error.strerror}"
        return Finding("data folder", "problem", says, "choose another: --data-dir")
    return Finding("data folder", "ok", f"{path} can be written")


def _disk(config: WorkerConfig) -> Finding:
    path = config.data_dir.expanduser().absolute()
    while not path.exists():
        path = path.parent
    free = psutil.disk_usage(str(path)).free
    if free < config.disk_reserve:
        says = f"only {format_size(free)} are free, less than the reserve: no job is taken"
        return Finding("disk", "problem", says, "make room, or lower --disk-reserve")
    if free < _LEAST_DISK:
        return Finding("disk", "warning", f"only {format_size(free)} are free", "make room, or bound --input-cache")
    return Finding("disk", "ok", f"{format_size(free)} are free")


def _gpus(config: WorkerConfig) -> Finding:
    here = discover()
    try:
        chosen = choose(config.gpus, here)
    except BadRequest as error:
        return Finding("gpus", "problem", error.message, "load the driver, or give fewer: --gpus")
    if here and not chosen:
        return Finding("gpus", "ok", f"{len(here)} found, none given to jobs (--gpus all)")
    return Finding("gpus", "ok", f"{len(chosen)} of {len(here)} are given to jobs")


def _neighbours() -> Finding:
    """Checks what the workers that run on this machine now offer together."""
    running = offers()
    if found := twice(running, machine()):
        return Finding("workers", "warning", found, REMEDY_OF_NEIGHBOURS)
    if not running:
        return Finding("workers", "ok", "no other worker is seen on this machine")
    memory = format_size(sum(each.memory for each in running))
    seen = "1 worker runs" if len(running) == 1 else f"{len(running)} workers run"
    return Finding("workers", "ok", f"{seen} on this machine, with {memory} of its {format_size(machine().memory)}")


def _git() -> Finding:
    if shutil.which("git") is None:
        return Finding("git", "warning", "git is not installed: no builds from repositories", "install git")
    return Finding("git", "ok", "builds from repositories are possible")


async def _engine(config: WorkerConfig) -> AsyncIterator[Finding]:
    try:
        docker, version = await open_engine(config.docker)
    except AsmanError as error:
        yield Finding("engine", "problem", error.message, "start Docker, and let this user use its socket")
        return
    try:
        said = f"{version.get('Version', '?')} (API {version.get('ApiVersion', '?')}) for {version.get('Arch', '?')}"
        api = tuple(int(part) for part in str(version.get("ApiVersion", "0")).split(".") if part.isdigit())
        if api < _OLDEST_API:
            yield Finding("engine", "problem", f"{said} is too old", "update it: Docker 20.10 or newer")
        else:
            yield Finding("engine", "ok", said)
        async with asyncio.timeout(ANSWER_SECONDS):
            info = dict(await docker.system.info())
        yield _runtime(config, info)
        yield _limits(info)
        yield await _shared_folder(docker, config)
        if config.network == INTERNET:
            yield await _rules(docker)
            yield await _leftovers(docker)
        elif config.network == OPEN:
            says = "jobs can reach this host and its private networks (--network open)"
            yield Finding("network", "warning", says, "leave --network out if they should reach the internet alone")
    except LOST as error:
        why = str(error) or "it does not answer any more"
        yield Finding("engine", "problem", f"it went away: {why}", "look at the engine's log, or start it again")
    finally:
        await close_engine(docker)


async def _tried(config: WorkerConfig, kind: str, *, used: bool) -> Runtime | str:
    """Runs a container without an engine; returns what runs it, or the reason why nothing does."""
    folder = config.data_dir.expanduser().absolute() / f"probe-{secrets.token_hex(4)}"
    starter, files, light = MonitorStarter(), Files(), kind == BUBBLEWRAP
    group = f"/{PARENT}/doctor-{secrets.token_hex(4)}"
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, mode=0o700)
        files = await asyncio.to_thread(partial(open_files, light=light))
        return await choose_runtime(config.runtime if used else "", folder, group, starter, files, light=light)
    except AsmanError as error:
        return error.message
    except OSError:
        return f"{folder.parent} can't be written"
    finally:
        await asyncio.to_thread(starter.close)
        await asyncio.to_thread(files.close)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(remove_tree, folder)


async def _executors(config: WorkerConfig, tried: dict[str, Runtime | str]) -> Finding:
    """Lists the executors that this machine can do, each with its isolation."""
    can = ["process (no isolation: jobs run as this user)"]
    for kind, runtime in tried.items():
        if isinstance(runtime, Runtime):
            can.insert(-1, f"{kind} ({runtime.isolation})")
    with contextlib.suppress(AsmanError):
        docker, version = await open_engine(config.docker)
        await close_engine(docker)
        can.insert(0, f"docker (containers of the engine {version.get('Version', '?')})")
    return Finding("executors", "ok", f"this machine can do {', '.join(can)}")


async def _without_engine(
    config: WorkerConfig, kind: str, runtime: Runtime | str, *, used: bool
) -> AsyncIterator[Finding]:
    """Tells whether this machine can run containers without an engine, and what they lack."""
    what = _WITHOUT_ENGINE if kind != BUBBLEWRAP else "containers by bubblewrap"
    if isinstance(runtime, str):
        if used:
            remedy = f"{INSTALL}; or use --executor docker" if kind != BUBBLEWRAP else INSTALL_BUBBLEWRAP
            yield Finding(what, "problem", runtime, remedy)
        else:
            yield Finding(what, "ok", f"not used, and not possible as it is: {runtime}")
        return
    more = "" if used else f" (--executor {kind})"
    programs = runtime.name if runtime.light else f"{runtime.name} and {runtime.init.name}"
    yield Finding(what, "ok", f"{programs} run them{more}; {runtime.isolation}")
    for note in runtime.notes() if used else ():
        says, _, remedy = note.rpartition("; ")
        yield Finding(what, "warning", says, remedy)
    if used and config.network == INTERNET:
        bridge = OwnBridge(f"doctor{secrets.token_hex(6)}")
        await bridge.open({})
        await bridge.close()
        if bridge.usable:
            yield Finding("network", "ok", "jobs can reach the internet, but not this host or its networks")
        else:
            says = f"jobs get no network, because the rules that keep them from this host can't be set: {bridge.why}"
            yield Finding("network", "warning", says, OCI_REMEDY)


def _runtime(config: WorkerConfig, info: dict[str, Any]) -> Finding:
    have = sorted(info.get("Runtimes") or {})
    if config.runtime and config.runtime not in have:
        remedy = "install it and name it in the engine's settings, or leave --runtime out"
        return Finding("runtime", "problem", f"the engine has no '{config.runtime}', only {', '.join(have)}", remedy)
    return Finding("runtime", "ok", config.runtime or str(info.get("DefaultRuntime", "the engine's own")))


def _limits(info: dict[str, Any]) -> Finding:
    missing = [
        words
        for key, words in (("MemoryLimit", "memory"), ("CpuCfsQuota", "cpus"), ("PidsLimit", "processes"))
        if info.get(key) is False
    ]
    if missing:
        remedy = "turn on the kernel's control groups for them"
        return Finding("limits", "problem", f"the engine can't limit {', '.join(missing)}", remedy)
    return Finding("limits", "ok", "memory, cpus and processes of a container can be limited")


async def _shared_folder(docker: Docker, config: WorkerConfig) -> Finding:
    """Checks that the engine sees the data folder at the same path, which often fails for a worker in a container."""
    folder = config.data_dir.expanduser().absolute() / f"probe-{secrets.token_hex(4)}"
    image = await _any_image(docker)
    if image is None:
        return Finding(_SEEN, "warning", "there is no image yet to try it with", "run a job, then check again")
    await asyncio.to_thread(folder.mkdir)
    try:
        seen = await _sees(docker, image, folder)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    if seen:
        return Finding(_SEEN, "ok", f"the engine sees {folder.parent}")
    remedy = f"give the worker's container the same path: -v {folder.parent}:{folder.parent}"
    return Finding(_SEEN, "problem", f"the engine sees another {folder.parent} than this worker", remedy)


async def _any_image(docker: Docker) -> str | None:
    images = await docker.images.list()
    return str(images[0]["Id"]) if images else None


async def _sees(docker: Docker, image: str, folder: Path) -> bool:
    """Creates a container that mounts the folder, and never starts it."""
    config: dict[str, Any] = {
        "Image": image,
        "Cmd": ["true"],
        "NetworkDisabled": True,
        "Labels": {LABEL_WORKER: "doctor"},
        "HostConfig": {"Mounts": [{"Type": "bind", "Source": str(folder), "Target": "/asman", "ReadOnly": True}]},
    }
    try:
        # The engine refuses to mount a missing folder, so its answer is enough: nothing has to run.
        container = await docker.containers.create(config)
    except LOST:
        return False
    await container.delete(force=True)
    return True


async def _rules(docker: Docker) -> Finding:
    own = OwnNetwork(docker, f"doctor{secrets.token_hex(6)}")
    try:
        rules = await own.open()
    except AsmanError as error:
        return Finding("network", "problem", error.message, "use --network none")
    finally:
        await own.close()
    if rules.closed:
        return Finding("network", "ok", "jobs can reach the internet, but not this host or its networks")
    says = f"jobs get no network, because the rules that keep them from this host can't be set: {rules.why}"
    return Finding("network", "warning", says, REMEDY)


async def _leftovers(docker: Docker) -> Finding:
    """Counts networks that no container uses: of idle workers, and of dead ones, which the next worker removes."""
    unused = [name async for name, _ in leftovers(docker)]
    if not unused:
        return Finding("networks", "ok", "no worker has left one behind")
    says = f"{len(unused)} belong to workers without jobs, or to none: see docker network ls -f label={LABEL_NETWORK}"
    return Finding("networks", "ok", says)


async def _hub(target: Address) -> AsyncIterator[Finding]:
    """Checks whether a hub answers, whether its clock agrees, and whether it knows the key in the address."""
    base, began = target.hub, time.time()
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        proxy = proxy_for(base)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{base}/healthz", proxy=proxy) as answer,
        ):
            status, date = answer.status, answer.headers.get("Date", "")
            spent = time.time() - began
            knows = 0
            if target.is_key and status == 200:
                async with session.get(f"{target.url}/workers", proxy=proxy) as listed:
                    knows = listed.status
    except Misconfigured as error:
        yield Finding("hub", "problem", error.message, "set the variable right, or remove it")
        return
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        fault = proxy_fault(error)
        says = fault or str(error) or "no answer in time"
        elsewhere = "check the address, the network and proxies: this machine has to reach the hub"
        yield Finding("hub", "problem", f"{base} can't be reached: {says}", "check the proxy" if fault else elsewhere)
        return
    if status != 200:
        by = f"the proxy {shown(proxy)}, or behind it " if proxy is not None else ""
        yield Finding(
            "hub", "problem", f"{by}{base} answered with HTTP status {status}", "is this a hub, and is it healthy?"
        )
        return
    yield Finding("hub", "ok", f"{base} answers in {spent * 1000:.0f} ms")
    if target.is_key:
        yield _key(knows)
    with contextlib.suppress(ValueError, TypeError):
        apart = abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time())
        if apart > _CLOCK_SECONDS:
            remedy = "set this machine's clock: signed addresses expire"
            yield Finding("clock", "warning", f"it is {apart:.0f} s apart from the hub's", remedy)
        else:
            yield Finding("clock", "ok", "it agrees with the hub's")


def _key(status: int) -> Finding:
    """Tells whether the hub knows the key in an address, by its answer to a request that only some keys grant."""
    if status == 404:
        remedy = "copy it again, or run 'asman queue keys' with the queue URL, which makes the hub know them"
        return Finding("key", "problem", "no queue of the hub has this key", remedy)
    if status == 200:  # a key to work reads no list of workers
        return Finding("key", "problem", "this key reads, but does not work for the queue", "use the key to work")
    return Finding("key", "ok", "the hub knows it")
