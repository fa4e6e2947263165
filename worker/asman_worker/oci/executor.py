"""Runs attempts in containers without an engine: an OCI runtime, images of its own, and a monitor for each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from asman_shared.definition import VOLUMES_TAG, Definition, Source
from asman_shared.errors import ExecutionError
from asman_shared.states import Phase

from ..containers.config import Confines, container_name, image_of, is_build
from ..containers.steps import Course, commands_of, course_of, end_of_job
from ..containers.streams import log_ends
from ..execution.container_end import End, Limits, removed_on_failure
from ..execution.disk_use import Account, DiskUse, Excess
from ..execution.interface import AttemptSpec, Ended, Interrupted, Key, Reporter
from ..images.engine_words import LOGGED, blames_job, logged, told
from .bundle import Bundle, bundle
from .container import Container, MonitorLost
from .file_lock import FileLock
from .host import OciHost
from .image_store import StoredImage
from .log import ContainerLog
from .programs.monitor import LIMITS, NETWORK
from .rootless.kept_files import Files
from .run import ContainerRun

log = logging.getLogger("asman.worker.oci")

_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The image of an attempt, fixed before it runs, and the lock that keeps it; a resumed attempt has no lock.

    The monitor of a container has a lock of its own.
    """

    digest: str
    image: StoredImage | None = None
    lock: FileLock | None = None


class OciExecutor:
    """Runs the attempts of one queue, each in a container.

    Args:
        host: The machine.
        incarnation: Marks the containers as this queue's and this worker's own.
    """

    uses_folder = True
    resumes = True
    own_tags: tuple[str, ...] = (VOLUMES_TAG,)
    sources: tuple[Source, ...] = ("image",)

    def __init__(self, host: OciHost, incarnation: str) -> None:
        self._host = host
        self._incarnation = incarnation
        self._chosen: dict[Key, list[_Chosen]] = {}
        self._containers: dict[str, Container] = {}

    @property
    def name(self) -> str:
        """The name in lists of workers; it tells what is missing."""
        return ", ".join((self._host.kind, *self._host.lacks))

    async def open(self) -> str:
        """Finds a runtime; returns the platform.

        Raises:
            Unavailable: No container can be run here.
        """
        return await self._host.open()

    async def close(self) -> None:
        """Lets the machine go; containers keep running."""
        for container in self._containers.values():
            container.close()
        self._containers.clear()
        for key in list(self._chosen):
            self._choose(key, [])
        await self._host.close()

    def check(self, definition: Definition) -> None:
        """Refuses jobs without an image, and builds.

        Raises:
            ExecutionError: The definition is refused; the message gives the reason.
        """
        if is_build(definition):
            raise ExecutionError(
                f"this worker builds no images, because it has no engine (--executor {self._host.kind}): name an "
                "image that is built, or use a worker with --executor docker",
                fault="worker",
            )
        image_of(definition)

    async def prepare(self, spec: AttemptSpec, report: Reporter) -> None:
        """Gets the image of each command; each is brought once, and kept while others are.

        Raises:
            ExecutionError: An image is not available.
        """
        found: dict[str | None, _Chosen] = {}
        for command in commands_of(spec):
            if (name := command.definition.image) not in found:
                found[name] = await self._brought(command, report)
                self._choose(spec.key, list(found.values()))
        self._choose(spec.key, [found[each.definition.image] for each in commands_of(spec)])

    async def _brought(self, spec: AttemptSpec, report: Reporter) -> _Chosen:
        build = spec.definition.build
        platform = (build.platform or "") if build is not None else ""
        for _ in range(_TRIES):
            image = await self._host.images.ensure(image_of(spec.definition), report, platform=platform)
            if (lock := self._host.store.hold(image)) is not None:
                return _Chosen(image.digest, image, lock)
        raise ExecutionError("the image was removed again and again while the job needed it", fault="worker")

    async def run(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Creates, starts and follows the attempt's container, or one for each command of a job with steps.

        Raises:
            ExecutionError: The container could not be started, or wrote too much.
            Interrupted: The container's monitor was killed, and the container with it.
        """
        if self._host.lacks_network:
            report.say("this worker's jobs have no network, because it can't keep them from its own private networks")
        async with removed_on_failure(partial(self.remove, spec.key)):
            return await self._run_from(spec, report, Course.begin(report.next_line))

    async def _run_from(self, spec: AttemptSpec, report: Reporter, course: Course) -> Ended:
        """Runs the commands of a job from one on, each in a container of its own."""
        commands = commands_of(spec)
        while True:
            command = course.present(commands)
            account = course.account if len(commands) > 1 else None
            if account is not None:
                course.note(spec)
            ended = await self._run(command, report, account)
            if len(commands) == 1:
                await self._give(spec)
                return ended
            if not await self._goes_on(commands, course, ended, report):
                return end_of_job(commands, course, ended)

    async def _run(self, spec: AttemptSpec, report: Reporter, account: Account | None) -> Ended:
        """Runs one command to its end."""
        container = self._container(spec.key, spec.step)
        await self._host.ensure_network_rules()
        made = await asyncio.to_thread(self._lay_out, spec, container)
        lines = ContainerLog(container, report, spec.folder.root / "checkpoint")
        lines.begin()
        async with self._watching(spec, container, made.places, account) as watch:
            container.start(self._host.starter)
            await container.until(lambda: bool(container.started) or container.over)
            if container.started:
                report.phase(Phase.RUNNING)
            running = ContainerRun(container, lines, self._limits(spec, watch))
            return await self._follow(running, spec, container, report)

    async def _goes_on(self, commands: list[AttemptSpec], course: Course, ended: Ended, report: Reporter) -> bool:
        """Notes the end of a command, and removes its container if another one is to run; returns whether."""
        command = commands[course.step]
        report.close_streams()
        if not course.ended(ended, report.next_line, ignored=command.definition.ignore_failure) or course.step == len(
            commands
        ):
            await self._give(command)
            return False
        container = self._container(command.key, command.step)
        await self._host.remove(container, goes_on=True)
        self._forget(container)
        return True

    async def resume(self, spec: AttemptSpec, report: Reporter) -> Ended:
        """Follows a container that an earlier process started.

        Raises:
            ExecutionError: Nothing is left of it.
            Interrupted: Its monitor was killed, and the container with it.
        """
        commands = commands_of(spec)
        async with removed_on_failure(partial(self.remove, spec.key)):
            course = course_of(spec, report) if len(commands) > 1 else Course.begin(report.next_line)
            account = course.account if len(commands) > 1 else None
            ended = await self._resumed(course.present(commands), report, account)
            if len(commands) == 1:
                await self._give(spec)
                return ended
            if not await self._goes_on(commands, course, ended, report):
                return end_of_job(commands, course, ended)
            await self.prepare(spec, report)
            return await self._run_from(spec, report, course)

    async def _resumed(self, spec: AttemptSpec, report: Reporter, account: Account | None) -> Ended:
        """Follows the container of one command to its end."""
        container = self._container(spec.key, spec.step)
        about = container.about
        try:
            container.attach()
        except OSError as error:
            raise ExecutionError("the container from before the restart is not there any more") from error
        if about.get("address") and self._host.network is None:
            raise Interrupted("the rules of the container's network can't be set any more")
        self._choose(spec.key, [_Chosen(str(about.get("digest", "")))] * (spec.step + 1))
        lines = ContainerLog(container, report, spec.folder.root / "checkpoint")
        lines.load()
        places = [str(each) for each in about.get("places", ())]
        async with self._watching(spec, container, places, account) as watch:
            report.phase(Phase.RUNNING)
            running = ContainerRun(container, lines, self._limits(spec, watch))
            return await self._follow(running, spec, container, report)

    async def remove(self, key: Key) -> None:
        """Kills and removes the attempt's containers, if there are any."""
        first = container_name(self._incarnation, key)
        left = self._host.folder_of(self._incarnation).glob(f"{first}-step*")
        for name in sorted({first, *(path.name for path in left)}):
            container = self._containers.get(name) or self._host.container(self._incarnation, name)
            try:
                await self._host.remove(container)
            except OSError as error:
                log.warning("container %s could not be removed: %s", container.folder.name, error)
            finally:
                self._forget(container)
        self._choose(key, [])

    async def sweep(self, known: set[Key]) -> set[Key]:
        """Removes this worker's containers except those in ``known``; returns the ones of ``known`` that exist."""
        found: set[Key] = set()
        folder = self._host.folder_of(self._incarnation)
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            container = self._host.container(self._incarnation, path.name)
            about = container.about
            key = (str(about.get("job", "")), int(about.get("attempt", -1)))
            if key in known and container_name(self._incarnation, key, int(about.get("step", 0))) == path.name:
                found.add(key)
            else:
                log.info("removing container %s, left by an earlier run", path.name)
                await self._host.remove(container)
        await self._host.clear_leftovers()
        return found

    # ------------------------------------------------------------------------------------------------- the parts

    def _choose(self, key: Key, chosen: list[_Chosen]) -> None:
        """Fixes the images of an attempt's commands, and lets those go that it had before."""
        kept = [each.lock for each in chosen]
        for each in self._chosen.pop(key, []):
            if each.lock is not None and each.lock not in kept:
                each.lock.touch()
                each.lock.close()
                kept.append(each.lock)
        if chosen:
            self._chosen[key] = chosen

    @property
    def _confines(self) -> Confines:
        return self._host.confines(self._incarnation)

    def _container(self, key: Key, step: int) -> Container:
        name = container_name(self._incarnation, key, step)
        if (found := self._containers.get(name)) is None:
            found = self._containers[name] = self._host.container(self._incarnation, name)
        return found

    def _forget(self, container: Container) -> None:
        container.close()
        self._containers.pop(container.folder.name, None)

    def _lay_out(self, spec: AttemptSpec, container: Container) -> Bundle:
        """Writes the container's configuration; blocks."""
        host, runtime = self._host, self._host.runtime
        image = self._chosen[spec.key][spec.step].image
        if image is None:
            raise ExecutionError("the job's image was not prepared", fault="worker")
        name = container.folder.name
        group = host.group_of(name)
        lease = host.network.lease(name) if host.network is not None else None
        made = bundle(
            spec,
            image,
            self._confines,
            runtime,
            folder=container.folder,
            group=group,
            lease=lease,
        )
        try:
            plan = runtime.plan(
                host.notes_of_runtime,
                name,
                (image.root, image.lock),
                made.limits,
                group,
                self._confines.log_bytes,
                made.config,
                host.network.plan(lease) if host.network is not None and lease is not None else {},
            )
        except OSError as error:
            raise _failure(f"{LIMITS}: {Path(error.filename or group).name}: {error.strerror}") from error
        about = {
            "job": spec.job,
            "attempt": spec.attempt,
            "step": spec.step,
            "digest": image.digest,
            "places": list(made.places),
            "outputs": str(spec.folder.outputs),
            "address": lease.address if lease is not None else "",
        }
        container.lay_out(made.config, plan, about, made.volumes)
        return made

    def _limits(self, spec: AttemptSpec, watch: Callable[[], Coroutine[Any, Any, Excess]]) -> Limits:
        return Limits(spec.time_limit, spec.time_spent, self._host.choices.stop_grace, watch)

    @contextlib.asynccontextmanager
    async def _watching(
        self, spec: AttemptSpec, container: Container, places: list[str] | tuple[str, ...], account: Account | None
    ) -> AsyncIterator[Any]:
        """Measures what a container writes, from before its start to the end of the block."""
        guard = self._host.guard
        shared = guard.shared(spec.cache)
        with guard.writing() as writer:
            async with shared.charging(writer, account):

                async def measure() -> DiskUse:
                    await shared.measure()
                    files = self._host.files
                    own = await asyncio.to_thread(_own_use, files, container, places)
                    return own + await asyncio.to_thread(files.use, spec.folder.outputs) + shared.share(writer)

                async def outgrown() -> Excess:
                    return await guard.watch(writer, measure)

                yield outgrown

    async def _follow(self, running: ContainerRun, spec: AttemptSpec, container: Container, report: Reporter) -> Ended:
        """Follows a command to its end, and puts what it wrote to files in the place of its streams into the log."""
        try:
            end = await running.to_its_end()
        except MonitorLost:
            if said := container.complaint:
                log.error("the monitor of %s failed: %s", container.folder.name, said)  # noqa: TRY400 - its words
            raise Interrupted("the monitor of the job's container was killed, or the machine was restarted") from None
        await log_ends(spec.definition, spec.folder, report)
        return self._to_result(spec, end)

    async def _give(self, spec: AttemptSpec) -> None:
        """Makes the files that the containers of a job have left this worker's own."""
        try:
            await asyncio.to_thread(self._host.files.give, spec.folder.outputs)
        except OSError as error:
            log.warning("some outputs of %s stay another user's: %s", spec.job[:12], error)

    def _to_result(self, spec: AttemptSpec, end: End) -> Ended:
        """Translates the end of a container into the result of the run."""
        chosen = self._chosen.get(spec.key, [])
        if end.outgrown is not None:
            raise ExecutionError(end.outgrown.message, fault=end.outgrown.fault)
        if end.error:
            raise _failure(end.error)
        if end.interrupted:
            raise Interrupted("the job's container was ended by another process of the worker")
        return end.result(
            self._confines.memory_of(spec.shape), chosen[spec.step].digest if spec.step < len(chosen) else ""
        )


def _failure(why: str) -> ExecutionError:
    """Makes the error of a container that could not be started; the runtime's whole text goes to the log alone."""
    log.warning("a container could not be started: %s", logged(why))
    if why.startswith(f"{LIMITS}: "):
        what = why.removeprefix(f"{LIMITS}: ")
        return ExecutionError(
            f"the limits of the container can't be set on this worker, so it was not started: {what}", fault="worker"
        )
    if why.startswith(f"{NETWORK}: "):
        return ExecutionError(
            "the container could not be connected to its network; the worker's log says why", fault="worker"
        )
    return ExecutionError(
        f"the container could not be started: {told(why) or LOGGED}", fault="job" if blames_job(why) else "worker"
    )


def _own_use(files: Files, container: Container, places: list[str] | tuple[str, ...]) -> DiskUse:
    """Returns what a container wrote outside of the job's folders; the places of its mounts are not its files."""
    upper = container.folder / "upper"
    use = files.use(upper) + files.use(container.folder / "volumes")
    made = {part for place in map(Path, places) for part in (place, *place.parents) if part.parts[1:]}
    copied, copied_files = container.about.get("copied") or (0, 0)
    size, count = use.bytes - int(copied), use.files - int(copied_files)
    for part in made:
        with contextlib.suppress(OSError):
            size -= (upper / str(part).lstrip("/")).lstat().st_blocks * 512
            count -= 1
    return DiskUse(max(0, size), max(0, count), use.cost)
