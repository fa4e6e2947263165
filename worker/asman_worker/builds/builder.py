"""Builds images on this worker from a repository, an archive, an uploaded folder or a Dockerfile's text.

The source is fixed first: a ref becomes a commit, an archive the hash of its bytes. The source and everything else that
a build depends on make up the image's key, by which the image is found again; a branch with a new commit has another
key. The engine's own builder makes the image (Docker Engine API, ``POST /build``).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiodocker import Docker
from aiodocker.exceptions import DockerError

from asman_shared.definition import Build
from asman_shared.errors import AsmanError, ExecutionError
from asman_shared.messages import STDOUT
from asman_shared.states import Phase
from asman_shared.transfer.address_guard import AddressGuard

from ..execution.disk_use import DiskGuard
from ..execution.interface import FetchBlob, Reporter
from ..files.download import download
from ..images.engine import stream
from ..images.engine_words import LOGGED, logged, told
from ..images.images import Image, Images
from ..images.reference import BUILT_REGISTRY, ImageReference
from ..images.rules import ImageRules
from ..images.shared_work import Audience, SharedWork
from ..images.usage import ImageUsage
from .archives import Bounds
from .context import OWN_DOCKERFILE, Context, Part, Wanted, complete, pack
from .dockerfile import Base, Dockerfile, check_triggers, read
from .git_source import Repositories
from .secrets import BuildSecrets, Masker, split_args
from .source import ArchiveSource, BlobSource, GitSource, Source, parse_source
from .steps import BuildSteps

LABEL_BUILD: Final = "asman.build"
_RULES: Final = 2
log = logging.getLogger("asman.worker.builds")

_ABOUT_THE_JOB: Final = (
    "dockerfile",
    "returned a non-zero code",
    "copy failed",
    "add failed",
    "no such file",
    "failed to reach build target",
    "requires buildkit",
    "syntax",
)


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """The limits of one build.

    Attributes:
        context: Largest size of its files, in bytes.
        memory: Memory of each step, in bytes; 0 for no limit.
        cpus: Cpus of each step, in thousandths; 0 for no limit.
        network: Name of the engine's network for its steps.
        pids: Largest number of processes of each step; 0 for no limit.
    """

    context: int
    memory: int = 0
    cpus: int = 0
    network: str = "none"
    pids: int = 0


@dataclass(frozen=True, slots=True)
class Built:
    """The result of a build.

    Attributes:
        image: The image.
        origin: The source of the image: ``https://…@<commit>``, ``sha256:…``; empty for a Dockerfile alone.
    """

    image: Image
    origin: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """A build and everything that it depends on."""

    build: Build
    source: Source | None
    commit: str
    origin: str
    subfolder: str
    args: dict[str, str]
    secrets: tuple[str, ...]
    archive: Path
    rules: list[list[str]]
    guard: AddressGuard

    @property
    def key(self) -> str:
        """Returns the key of the image; secrets count by name, and other rules of the operator make another image."""
        build = self.build
        parts = [_RULES, self.rules, self.origin, self.subfolder, build.filename, build.dockerfile, build.target,
                 build.platform, self.args, sorted(self.secrets)]  # fmt: skip
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


class Builder:
    """Builds on one engine.

    Args:
        docker: The engine.
        images: Provides the base images of builds.
        owner: Names this worker's own images.
        folder: Folder for the files of running builds.
        rules: Rules for the builds that are allowed.
        guard: Checks addresses.
        repositories: Fetches git repositories.
        secrets: Secrets that builds may use.
        usage: Records the images that were made, and keeps those that a build needs.
        disk: Bounds what the steps write.
    """

    def __init__(
        self,
        docker: Docker,
        images: Images,
        *,
        owner: str,
        folder: Path,
        rules: ImageRules,
        guard: AddressGuard,
        repositories: Repositories,
        secrets: BuildSecrets,
        usage: ImageUsage,
        disk: DiskGuard,
    ) -> None:
        self._disk = disk
        self._docker = docker
        self._images = images
        self._repository = f"{BUILT_REGISTRY}/{owner[:12]}"
        self._folder = folder
        self._rules = rules
        self._guard = guard
        self._repositories = repositories
        self._secrets = secrets
        self._usage = usage
        self._builds: SharedWork[str, Image] = SharedWork()

    async def ensure(
        self, build: Build, fetch: FetchBlob, report: Reporter, limits: BuildLimits, *, hub: str = ""
    ) -> Built:
        """Finds the image of a build, or makes it in phase ``building``.

        Args:
            build: The build.
            fetch: Downloads a blob of the job's queue.
            report: Receives phases and output.
            limits: Bounds of the build.
            hub: An address on the job's hub: what is stored there may be fetched, also if the hub is private.

        Raises:
            BadDefinition: The build can't be read.
            ExecutionError: The build is not allowed here, or fails; the error names the fault.
        """
        report.phase(Phase.BUILDING)
        async with self._scratch() as folder:
            plan = await self._plan(build, folder, limits, self._guard.with_hub(hub))
            if plan.commit:
                report.say(f"{plan.source} is at commit {plan.commit}")
            reference = ImageReference.parse(f"{self._repository}:{plan.key}")
            if (found := await self._images.find(reference)) is not None:
                report.say(f"the image of this build exists: {found.id}")
                return Built(found, plan.origin)
            image = await self._builds.join(
                plan.key, report, lambda audience: self._make(plan, reference, fetch, audience, limits)
            )
            return Built(image, plan.origin)

    @contextlib.asynccontextmanager
    async def _scratch(self) -> AsyncIterator[Path]:
        """Makes a folder that is removed after the block."""
        self._folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            yield folder
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    # ------------------------------------------------------------------------------------------ what to build

    async def _plan(self, build: Build, folder: Path, limits: BuildLimits, guard: AddressGuard) -> _Plan:
        """Fixes the source of a build: resolves a ref, hashes an archive."""
        source = parse_source(build.context) if build.context and build.context.strip() else None
        if source is None and not build.dockerfile:
            raise ExecutionError("the build has neither a context nor a Dockerfile's text")
        self._rules.check_build("" if source is None else str(source))
        args, secrets = split_args(build.build_args or ())
        for name in secrets:
            self._secrets.check(name, build, source, more_args=bool(args))
        commit = origin = ""
        archive = folder / "archive"
        subfolder = (build.build_context or "").strip("/")
        match source:
            case GitSource():
                own = not build.dockerfile
                commit, inside = await self._repositories.resolve(source, folder / "refs", own_dockerfile=own)
                subfolder = "/".join(part for part in (inside, subfolder) if part)
                origin = f"{source.url}@{commit}"
            case ArchiveSource(url=url):
                # An address does not identify its bytes, so they are fetched before the key is known.
                origin = f"sha256:{await download(url, archive, guard, most=limits.context)}"
            case BlobSource(sha256=sha256):
                origin = f"key:{sha256}"
        rules = [sorted(self._rules.allow), sorted(self._rules.deny), sorted(self._images.local)]
        return _Plan(build, source, commit, origin, subfolder, args, tuple(secrets), archive, rules, guard)

    # ------------------------------------------------------------------------------------------------- building

    async def _make(
        self, plan: _Plan, reference: ImageReference, fetch: FetchBlob, audience: Audience, limits: BuildLimits
    ) -> Image:
        async with self._scratch() as folder:
            parts = await self._bring(plan, folder, fetch, limits)
            tar = folder / "context.tar"
            context = await self._pack(plan, parts, tar, limits)
            dockerfile = read(context.text, plan.args)
            ids = await self._bring_bases(plan, dockerfile, audience)
            audience.tell(lambda report: report.phase(Phase.BUILDING))
            with self._held(ids.values()):
                added = await self._bring_added(dockerfile, folder, audience, limits, plan.guard)
                await asyncio.to_thread(complete, tar, dockerfile.write(ids), context.ignore, added)
                secrets = {name: self._secrets.get(name) for name in plan.secrets}
                masker = Masker(secrets)
                await self._build(plan, reference, tar, secrets, masker, audience, limits)
        image = await self._images.find(reference)
        if image is None:
            raise ExecutionError("the build ended without an image", fault="worker")
        await self._check_leak(reference, masker)
        self._usage.own(image.id)
        audience.tell(lambda report: report.say(f"built {image.id}"))
        return image

    async def _bring(self, plan: _Plan, folder: Path, fetch: FetchBlob, limits: BuildLimits) -> list[Part]:
        """Fetches the archives with the files of the build."""
        archive = folder / "archive"
        match plan.source:
            case GitSource(url=url):
                own = not plan.build.dockerfile
                return await self._repositories.fetch(url, plan.commit, folder, own_dockerfile=own)
            case BlobSource(sha256=sha256):
                try:
                    await fetch(sha256, archive, limits.context)
                except ExecutionError:
                    raise
                except AsmanError as error:
                    raise ExecutionError(f"the build's files can't be read: {error.message}") from error
                return [Part(archive)]
            case ArchiveSource(url=url):
                with contextlib.suppress(OSError):
                    plan.archive.rename(archive)
                    return [Part(archive)]
                # The attempt that began this build has gone, and so have the files that it fetched.
                came = await download(url, archive, plan.guard, most=limits.context)
                if plan.origin != f"sha256:{came}":
                    raise ExecutionError("the archive at the build's address changed while it was fetched; try again")
                return [Part(archive)]
            case None:
                return []

    async def _pack(self, plan: _Plan, parts: list[Part], target: Path, limits: BuildLimits) -> Context:
        build = plan.build
        wanted = Wanted(
            plan.subfolder, build.filename or "", build.dockerfile or "", unwrap=isinstance(plan.source, ArchiveSource)
        )
        unwanted = False

        def work() -> Context:
            with target.open("wb") as out:
                return pack(parts, wanted, Bounds(limits.context), out, lambda: unwanted)

        try:
            return await asyncio.to_thread(work)
        except asyncio.CancelledError:
            unwanted = True
            raise

    async def _bring_bases(self, plan: _Plan, dockerfile: Dockerfile, audience: Audience) -> dict[Base, str]:
        """Gets the images that the Dockerfile names, by the same rules and with the same progress as other images.

        Returns:
            Their ids.
        """
        told = _AudienceReport(audience)
        ids: dict[Base, str] = {}
        for base in dockerfile.bases:
            platform = base.platform or plan.build.platform or ""
            image = await self._images.ensure(base.image, told, platform=platform)
            if base.begins:
                check_triggers(base, await self._images.triggers(image))
            ids[base] = image.id
            told.say(f"the Dockerfile's {base.image} is {image.id}")
        return ids

    async def _bring_added(
        self, dockerfile: Dockerfile, folder: Path, audience: Audience, limits: BuildLimits, guard: AddressGuard
    ) -> list[tuple[str, Path]]:
        """Fetches the files that the Dockerfile adds from addresses; the engine would fetch them from its own network.

        Returns:
            Name in the context and place of each file.
        """
        found: list[tuple[str, Path]] = []
        left = limits.context
        for number, added in enumerate(dockerfile.added):
            place = folder / f"added-{number}"
            await download(added.url, place, guard, most=left, what="a file that the Dockerfile adds")
            left -= place.stat().st_size
            found.append((added.path, place))
            audience.tell(lambda report, url=added.url: report.say(f"fetched {url}"))  # type: ignore[misc]
        return found

    @contextlib.contextmanager
    def _held(self, images: Iterable[str]) -> Iterator[None]:
        """Keeps images from being cleaned up while the block lasts."""
        held = list(images)
        for image in held:
            self._usage.hold(image)
        try:
            yield
        finally:
            for image in held:
                self._usage.let_go(image)

    async def _build(
        self,
        plan: _Plan,
        reference: ImageReference,
        tar: Path,
        secrets: dict[str, str],
        masker: Masker,
        audience: Audience,
        limits: BuildLimits,
    ) -> None:
        params = {
            "t": str(reference),
            "dockerfile": OWN_DOCKERFILE,
            "rm": "true",
            "forcerm": "true",
            "networkmode": limits.network,
            "labels": json.dumps({LABEL_BUILD: plan.key}),
            "buildargs": json.dumps({**plan.args, **secrets}),
        }
        if plan.build.target:
            params["target"] = plan.build.target
        if plan.build.platform:
            params["platform"] = plan.build.platform
        if limits.memory:
            params |= {"memory": str(limits.memory), "memswap": str(limits.memory)}
        if limits.cpus:
            params |= {"cpuperiod": "100000", "cpuquota": str(limits.cpus * 100)}

        def show(text: str) -> None:
            if text:
                audience.tell(lambda report: report.output(STDOUT, text.encode("utf-8", "surrogatepass")))

        steps = BuildSteps(self._docker, limits.pids)

        async def read() -> None:
            with tar.open("rb") as body:
                news = stream(self._docker, "build", params, data=body, headers={"Content-Type": "application/x-tar"})
                async with contextlib.aclosing(news):
                    async for item in news:
                        text = str(item.get("stream") or "")
                        await steps.read(text)
                        show(masker.feed(text))

        try:
            await self._within_bounds(read(), steps)
        except DockerError as error:
            said = masker.all(error.message.strip())
            fault = "worker" if error.status >= 500 and "step" not in said.lower() and not _by_job(said) else "job"
            log.warning("the build %s failed%s: the engine says %s", reference, steps.place, logged(said))
            why = told(said)
            raise ExecutionError(
                f"the build failed: {why}" if why else f"the build failed{steps.place}: {LOGGED}", fault=fault
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            log.warning("the build %s failed%s: the engine went away: %s", reference, steps.place, error)
            raise ExecutionError(f"the build failed{steps.place}: the engine went away", fault="worker") from error
        finally:
            show(masker.rest())

    async def _within_bounds(self, reading: Coroutine[Any, Any, None], steps: BuildSteps) -> None:
        """Reads a build to its end, unless its steps write too much.

        Raises:
            ExecutionError: They did; the build was stopped.
        """
        with self._disk.writing() as writer:
            build = asyncio.create_task(reading, name="build")
            watch = asyncio.create_task(self._disk.watch(writer, steps.use), name="disk")
            try:
                await asyncio.wait((build, watch), return_when=asyncio.FIRST_COMPLETED)
                if build.done():
                    return build.result()
                excess = watch.result()
                raise ExecutionError(f"the build was {excess.message}", fault=excess.fault)
            finally:
                for task in (build, watch):
                    task.cancel()
                await asyncio.gather(build, watch, return_exceptions=True)

    async def _check_leak(self, reference: ImageReference, masker: Masker) -> None:
        """Refuses an image whose own settings would give a secret to all of its containers."""
        found: dict[str, Any] = await self._docker.images.inspect(str(reference))
        if masker.finds(json.dumps(found.get("Config"), ensure_ascii=False)):
            with contextlib.suppress(DockerError):
                await self._docker.images.delete(str(reference), force=True)
            raise ExecutionError("the build would leave a secret in its image's settings (ENV, LABEL or CMD)")


def _by_job(said: str) -> bool:
    """Whether the engine's sentence is about the Dockerfile or its files."""
    lower = said.lower()
    return any(word in lower for word in _ABOUT_THE_JOB)


class _AudienceReport:
    """Forwards the progress of a base image's pull to all attempts that wait for the build."""

    def __init__(self, audience: Audience) -> None:
        self._audience = audience

    def phase(self, phase: Phase, done: int = 0, total: int = 0, unit: str = "") -> None:
        """Forwards the call to all reporters."""
        self._audience.tell(lambda report: report.phase(phase, done, total, unit))

    def say(self, text: str) -> None:
        """Forwards the call to all reporters."""
        self._audience.tell(lambda report: report.say(text))

    def output(self, stream: int, chunk: bytes, when: int | None = None) -> None:
        """Forwards the call to all reporters."""
        self._audience.tell(lambda report: report.output(stream, chunk, when))

    def close_streams(self) -> None:
        """Does nothing: there are only whole lines."""

    async def room(self) -> None:
        """Returns at once, because this output is short."""

    def start_at(self, seq: int) -> None:
        """Has no state to restore."""

    clean = True
    next_line = 0
    sent_line = 0
