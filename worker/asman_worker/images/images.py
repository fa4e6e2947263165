"""Finds images on the engine by the operator's policy, or pulls each once for all jobs that wait for it.

Of the images on the engine, jobs get only those that this worker pulled or built, and those that the operator names
(``--local-images``). An image is judged by its id, so every name of it leads to the same answer. A name that the owner
uses is never moved to another image.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import aiohttp
from aiodocker import Docker
from aiodocker.exceptions import DockerError

from asman_shared.errors import AsmanError, BadDefinition, ExecutionError
from asman_shared.running.backoff import Backoff
from asman_shared.states import Phase
from asman_shared.transfer.address_guard import AddressGuard
from asman_shared.units import format_size

from ..execution.interface import Reporter
from .credentials import Credentials, encoded
from .engine import stream
from .pull_progress import PullProgress
from .reference import DEFAULT_REGISTRY, ImageReference
from .rules import ImageRules
from .shared_work import Audience, SharedWork
from .usage import ImageUsage

log = logging.getLogger("asman.worker.images")

PullPolicy = Literal["missing", "always", "never"]

_PROGRESS_SECONDS: Final = 0.5
_TRIES: Final = 3
_PASSING: Final = re.compile(
    r"toomanyrequests|too many requests|timeout|timed out|connection reset|connection refused|unexpected eof|\beof\b|"
    r"temporary failure|server misbehaving|\b50[0234]\b|tls handshake|received unexpected http status: 5",
    re.IGNORECASE,
)
"""Temporary errors of registries and networks, after which a pull is tried again."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image on the engine.

    Attributes:
        id: The engine's own id, which no later pull or build gives to other bytes.
        digest: The registry's digest; the id for an image without one.
        size: Size on disk, in bytes.
        volumes: The paths that it declares as volumes, as the engine cleans them.
    """

    id: str
    digest: str
    size: int = 0
    volumes: tuple[str, ...] = ()


def never_pulled(reference: ImageReference, platform: str, allows: str) -> ExecutionError:
    """Returns the error about an image of a worker that pulls none.

    It is the same for an image that the machine's owner has: what is there is the owner's business.

    Args:
        reference: The image.
        platform: The platform that the job names; empty for none.
        allows: The option by which the operator allows an image that is there.
    """
    wanted = f" for {platform}" if platform else ""
    return ExecutionError(
        f"image '{reference.familiar}'{wanted} is not on this worker, which pulls no images (--pull never), or its "
        f"operator has not allowed it ({allows})",
        fault="worker",
    )


class Images:
    """The images of one engine.

    Args:
        docker: The engine.
        policy: Policy for asking the registry: ``missing`` (only for a missing image), ``always`` or ``never``.
        rules: Rules for the images that may be used.
        credentials: Logins for registries.
        usage: Knows the images that this worker pulled and built.
        local: Patterns of the other images on the engine that jobs may use.
        guard: Checks the hosts of registries.
    """

    def __init__(
        self,
        docker: Docker,
        *,
        policy: PullPolicy = "missing",
        rules: ImageRules | None = None,
        credentials: Credentials | None = None,
        usage: ImageUsage,
        local: Sequence[str] = (),
        guard: AddressGuard,
    ) -> None:
        self._docker = docker
        self._policy = policy
        self._rules = rules or ImageRules()
        self._credentials = credentials or Credentials()
        self._usage = usage
        self.local = tuple(local)
        self._guard = guard
        self._pulls: SharedWork[tuple[str, str], Image] = SharedWork()

    async def ensure(self, name: str, report: Reporter, *, platform: str = "") -> Image:
        """Finds an image, or pulls it in phase ``pulling``, as the policy says.

        Args:
            name: The name in the job's definition.
            report: Receives the progress of the pull.
            platform: Platform such as ``linux/arm64``; empty for the engine's own.

        Raises:
            BadDefinition: The name is not valid.
            ExecutionError: The image may not be used here, or is not available.
        """
        reference = ImageReference.parse(name)
        self._rules.check(reference)
        if self._policy != "always" and (found := await self._usable(reference, platform)) is not None:
            return found
        if self._policy == "never":
            raise never_pulled(reference, platform, "--local-images")
        await check_registry(self._guard, reference)
        return await self._pulls.join(
            (str(reference), platform), report, lambda audience: self._pull(reference, platform, audience)
        )

    async def find(self, reference: ImageReference, platform: str = "") -> Image | None:
        """Returns the engine's image for a platform, whoever brought it; None when it has none.

        Raises:
            ExecutionError: The engine fails.
        """
        found = await self._inspect(str(reference))
        return _image(found, reference) if found is not None and _fits(found, platform) else None

    async def triggers(self, image: Image) -> list[str]:
        """Returns the instructions that run in every build that begins from an image (``ONBUILD``).

        Raises:
            ExecutionError: The engine fails, or the image is gone.
        """
        found = await self._inspect(image.id)
        if found is None:
            raise ExecutionError("a base of the build was removed while it was needed; try again", fault="worker")
        return [str(each) for each in (found.get("Config") or {}).get("OnBuild") or ()]

    async def _usable(self, reference: ImageReference, platform: str) -> Image | None:
        """Returns the engine's image for a platform if jobs may use it; None otherwise.

        Raises:
            ExecutionError: The engine fails.
        """
        found = await self._inspect(str(reference))
        if found is not None and _fits(found, platform) and self._may_use(found):
            return _image(found, reference)
        if image := self._usage.named(_key(reference, platform)):
            found = await self._inspect(image)
            return _image(found, reference) if found is not None else None
        return None

    def _may_use(self, found: dict[str, Any]) -> bool:
        """Whether jobs may use an image of the engine: this worker brought it, or the operator names it."""
        if self._usage.knows(str(found["Id"])):
            return True
        for name in (*(found.get("RepoTags") or ()), *(found.get("RepoDigests") or ())):
            with contextlib.suppress(BadDefinition):
                reference = ImageReference.parse(str(name))
                if any(reference.matches(pattern) for pattern in self.local):
                    return True
        return False

    async def _inspect(self, name: str) -> dict[str, Any] | None:
        try:
            return await self._docker.images.inspect(name)
        except DockerError as error:
            if error.status == 404:
                return None
            log.warning("looking up %s failed: %s", name, error.message)
            raise ExecutionError(f"the engine could not look up the image '{name}'", fault="worker") from error
        except (aiohttp.ClientError, OSError) as error:
            log.warning("looking up %s failed: %s", name, error)
            raise ExecutionError(f"the engine could not look up the image '{name}'", fault="worker") from error

    async def _pull(self, reference: ImageReference, platform: str, audience: Audience) -> Image:
        """Pulls an image, with further tries after temporary errors."""
        audience.tell(lambda report: report.phase(Phase.PULLING))
        pauses = Backoff(first=1.0, most=8.0)
        before = await self._ids()
        there = await self._inspect(str(reference))
        owners = there is not None and not self._may_use(there)
        wanted = reference
        for tries_left in reversed(range(_TRIES)):
            try:
                if owners:
                    # The name is the owner's, and stays on the owner's image. An engine pulls a digest that it knows
                    # without asking the registry, so a pull alone does not prove that the image is for others.
                    wanted = replace(reference, tag="", digest=await self._digest_at_registry(reference))
                progress = await self._pull_once(wanted, platform, audience)
                break
            except (DockerError, aiohttp.ClientError, OSError) as error:
                why = error.message.strip() if isinstance(error, DockerError) else str(error)
                if not tries_left or _PASSING.search(why) is None:
                    raise pull_failure(reference, platform, why) from error
                log.info("pulling %s failed (%s); trying again", reference.familiar, why)
            await asyncio.sleep(0.2 + pauses.next())
        found = await self.find(wanted, platform)
        if found is None:
            other = await self._inspect(str(wanted))
            if other is not None:
                have = f"{other.get('Os')}/{other.get('Architecture')}"
                raise ExecutionError(f"image '{reference.familiar}' is available for {have}, not for {platform}")
            raise ExecutionError(f"image '{reference.familiar}' was pulled, but is not there; check its name")
        if found.id in before:
            self._usage.share(found.id)
        else:
            self._usage.own(found.id)
        if owners:
            self._usage.name(_key(reference, platform), found.id)
        _, layers = progress.layers
        size, _ = progress.bytes
        told = f"pulled {reference.familiar} ({layers} layers, {format_size(size)}): {found.digest}"
        audience.tell(lambda report: report.say(told))
        return found

    async def _ids(self) -> set[str]:
        """Returns the ids of all images on the engine."""
        try:
            return {str(each["Id"]) for each in await self._docker.images.list(all="true")}
        except (DockerError, aiohttp.ClientError, OSError) as error:
            log.warning("listing the images failed: %s", error)
            raise ExecutionError("the engine could not list its images", fault="worker") from error

    async def _digest_at_registry(self, reference: ImageReference) -> str:
        """Asks the registry for the present digest of a name; nothing is pulled.

        Raises:
            DockerError: The registry does not tell it.
        """
        path = f"distribution/{reference}/json"
        found = await self._docker._query_json(path, headers=self._login(reference))
        return str(found["Descriptor"]["digest"])

    def _login(self, reference: ImageReference) -> dict[str, str]:
        """Returns the header with the login for a registry, if there is one."""
        try:
            auth = self._credentials.of(reference.registry)
        except AsmanError as error:
            log.warning("%s", error.message)  # it names a file of this machine
            raise ExecutionError(
                "the worker can't read its logins of registries (--registry-auth); its log says why", fault="worker"
            ) from error
        return {"X-Registry-Auth": encoded(auth)} if auth is not None else {}

    async def _pull_once(self, reference: ImageReference, platform: str, audience: Audience) -> PullProgress:
        progress = PullProgress()
        loop = asyncio.get_running_loop()
        said = loop.time() - _PROGRESS_SECONDS
        headers = self._login(reference)
        params = {"fromImage": str(reference)}
        if platform:
            params["platform"] = platform
        async with contextlib.aclosing(stream(self._docker, "images/create", params, headers=headers)) as news:
            async for item in news:
                progress.feed(item)
                if loop.time() - said >= _PROGRESS_SECONDS and progress.now[1]:
                    said = loop.time()
                    now = progress.now
                    audience.tell(lambda report, now=now: report.phase(Phase.PULLING, *now))  # type: ignore[misc]
        return progress


async def check_registry(guard: AddressGuard, reference: ImageReference) -> None:
    """Checks the registry's address: whoever pulls would connect to it from the worker's own network.

    Args:
        guard: Checks the address.
        reference: The image.

    Raises:
        ExecutionError: The registry is not on the open internet, and the operator has not allowed it.
    """
    if reference.registry == DEFAULT_REGISTRY:
        return
    try:
        await guard.locate(f"https://{reference.registry}")
    except ExecutionError as error:
        why, fault = error.message, error.fault
    except ValueError:
        why, fault = "its registry is not a host name", "job"
    else:
        return
    raise ExecutionError(f"image '{reference.familiar}' could not be pulled: {why}", fault=fault)


def pull_failure(reference: ImageReference, platform: str, why: str) -> ExecutionError:
    """Makes the error of a failed pull and assigns the fault: a registry out of reach is not the job's fault.

    The engine's words are for the worker's log alone: they tell of the network that the engine is in.
    """
    lower = why.lower()
    name = reference.familiar
    log.warning("pulling %s failed: %s", name, why[:1000])

    def failed(what: str, fault: Literal["job", "worker"]) -> ExecutionError:
        return ExecutionError(f"image '{name}' could not be pulled: {what}", fault=fault)

    if "no matching manifest" in lower or "no match for platform" in lower:
        return ExecutionError(f"image '{name}' does not exist for {platform or 'this machine'}")
    if "unauthorized" in lower or "authentication required" in lower or "no basic auth" in lower or "denied" in lower:
        return failed(
            "its registry denies it or does not have it (a private image needs a worker with a login, --registry-auth; "
            "one that only the worker's machine has needs --local-images)",
            "job",
        )
    if "toomanyrequests" in lower or "too many requests" in lower:
        return failed("its registry allows no more pulls for now", "worker")
    if "no space left" in lower:
        return failed("the worker's disk is full", "worker")
    missing = "not found" in lower or "manifest unknown" in lower or "name unknown" in lower or "no such" in lower
    if missing and "no such host" not in lower:
        return failed("its registry does not have it", "job")
    return failed(
        "its registry can't be reached, or does not answer as it should; the worker's log says more", "worker"
    )


def _key(reference: ImageReference, platform: str) -> str:
    return f"{reference} {platform}"


def _image(found: dict[str, Any], reference: ImageReference) -> Image:
    return Image(str(found["Id"]), _digest(found, reference), int(found.get("Size") or 0), _volumes(found))


def _fits(found: dict[str, Any], platform: str) -> bool:
    """Whether an image is for a platform; a variant counts only when both name one."""
    if not platform:
        return True
    wanted = platform.split("/")
    have = [str(found.get("Os", "")), str(found.get("Architecture", "")), str(found.get("Variant") or "")]
    return have[:2] == wanted[:2] and (len(wanted) < 3 or not have[2] or have[2] == wanted[2])


def _digest(found: dict[str, Any], reference: ImageReference) -> str:
    """Returns the digest in the image's own repository, otherwise one in another repository, otherwise its id."""
    digests = [str(text).partition("@")[::2] for text in found.get("RepoDigests") or ()]
    for repository, digest in digests:
        with contextlib.suppress(BadDefinition):
            if ImageReference.parse(repository).name == reference.name:
                return digest
    return digests[0][1] if digests else str(found["Id"])


def _volumes(about: dict[str, Any]) -> tuple[str, ...]:
    """Returns the paths that an image declares as volumes, cleaned as the engine does."""
    declared = (about.get("Config") or {}).get("Volumes") or {}
    return tuple(sorted({posixpath.normpath(f"/{path}").replace("//", "/") for path in declared}))
