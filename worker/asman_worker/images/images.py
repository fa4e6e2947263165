"""Finds images on the engine by the operator's policy, or pulls each once for all jobs that wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import aiohttp
from aiodocker import Docker
from aiodocker.exceptions import DockerError

from asman_shared.backoff import Backoff
from asman_shared.errors import AsmanError, BadDefinition, ExecutionError
from asman_shared.states import Phase
from asman_shared.units import format_size

from ..execution.interface import Reporter
from .credentials import Credentials, encoded
from .engine import stream
from .pull_progress import PullProgress
from .reference import ImageReference
from .rules import ImageRules
from .shared_work import Audience, SharedWork

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


class Images:
    """The images of one engine.

    Args:
        docker: The engine.
        policy: Policy for asking the registry: ``missing`` (only for a missing image), ``always`` or ``never``.
        rules: Rules for the images that may be used.
        credentials: Logins for registries.
        pulled: Called with the id of each image that a pull brought.
    """

    def __init__(
        self,
        docker: Docker,
        *,
        policy: PullPolicy = "missing",
        rules: ImageRules | None = None,
        credentials: Credentials | None = None,
        pulled: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._docker = docker
        self._policy = policy
        self._rules = rules or ImageRules()
        self._credentials = credentials or Credentials()
        self._pulled = pulled
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
        if self._policy != "always" and (found := await self.find(reference, platform)) is not None:
            return found
        if self._policy == "never":
            wanted = f" for {platform}" if platform else ""
            raise ExecutionError(
                f"image '{reference.familiar}'{wanted} is not on this worker, which pulls no images (--pull never)",
                fault="worker",
            )
        return await self._pulls.join(
            (str(reference), platform), report, lambda audience: self._pull(reference, platform, audience)
        )

    async def find(self, reference: ImageReference, platform: str = "") -> Image | None:
        """Returns the engine's image for a platform; None when it has none.

        Raises:
            ExecutionError: The engine fails.
        """
        found = await self._inspect(str(reference))
        if found is None or not _fits(found, platform):
            return None
        return Image(str(found["Id"]), _digest(found, reference), int(found.get("Size") or 0), _volumes(found))

    async def _inspect(self, name: str) -> dict[str, Any] | None:
        try:
            return await self._docker.images.inspect(name)
        except DockerError as error:
            if error.status == 404:
                return None
            raise ExecutionError(f"image '{name}' could not be looked up: {error.message}", fault="worker") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ExecutionError(f"the engine could not look up '{name}': {error}", fault="worker") from error

    async def _pull(self, reference: ImageReference, platform: str, audience: Audience) -> Image:
        """Pulls an image, with further tries after temporary errors."""
        audience.tell(lambda report: report.phase(Phase.PULLING))
        pauses = Backoff(first=1.0, most=8.0)
        for tries_left in reversed(range(_TRIES)):
            try:
                progress = await self._pull_once(reference, platform, audience)
                break
            except (DockerError, aiohttp.ClientError, OSError) as error:
                why = error.message.strip() if isinstance(error, DockerError) else str(error)
                if not tries_left or _PASSING.search(why) is None:
                    raise _failure(reference, platform, why) from error
                log.info("pulling %s failed (%s); trying again", reference.familiar, why)
            await asyncio.sleep(0.2 + pauses.next())
        found = await self.find(reference, platform)
        if found is None:
            other = await self._inspect(str(reference))
            if other is not None:
                have = f"{other.get('Os')}/{other.get('Architecture')}"
                raise ExecutionError(f"image '{reference.familiar}' is available for {have}, not for {platform}")
            raise ExecutionError(f"image '{reference.familiar}' was pulled, but is not there; check its name")
        self._pulled(found.id)
        _, layers = progress.layers
        size, _ = progress.bytes
        told = f"pulled {reference.familiar} ({layers} layers, {format_size(size)}): {found.digest}"
        audience.tell(lambda report: report.say(told))
        return found

    async def _pull_once(self, reference: ImageReference, platform: str, audience: Audience) -> PullProgress:
        progress = PullProgress()
        loop = asyncio.get_running_loop()
        said = loop.time() - _PROGRESS_SECONDS
        try:
            auth = self._credentials.of(reference.registry)
        except AsmanError as error:
            raise ExecutionError(error.message, fault="worker") from error
        params = {"fromImage": str(reference)}
        if platform:
            params["platform"] = platform
        headers = {"X-Registry-Auth": encoded(auth)} if auth is not None else {}
        async with contextlib.aclosing(stream(self._docker, "images/create", params, headers=headers)) as news:
            async for item in news:
                progress.feed(item)
                if loop.time() - said >= _PROGRESS_SECONDS and progress.now[1]:
                    said = loop.time()
                    now = progress.now
                    audience.tell(lambda report, now=now: report.phase(Phase.PULLING, *now))  # type: ignore[misc]
        return progress


def _failure(reference: ImageReference, platform: str, why: str) -> ExecutionError:
    """Makes the error of a failed pull and assigns the fault: a registry out of reach is not the job's fault."""
    lower = why.lower()
    name = reference.familiar
    if "no matching manifest" in lower or "no match for platform" in lower:
        return ExecutionError(f"image '{name}' does not exist for {platform or 'this machine'}: {why}")
    if "unauthorized" in lower or "authentication required" in lower or "no basic auth" in lower or "denied" in lower:
        return ExecutionError(
            f"image '{name}' could not be pulled: {why} (a private image needs a worker with a login: --registry-auth)"
        )
    missing = "not found" in lower or "manifest unknown" in lower or "name unknown" in lower or "no such" in lower
    reachable = missing and "no such host" not in lower
    return ExecutionError(f"image '{name}' could not be pulled: {why}", fault="job" if reachable else "worker")


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
