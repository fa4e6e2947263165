"""The engine that all queues of a worker process share: its connection, images, builds and network."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiodocker import Docker

from asman_shared.errors import ExecutionError, Unavailable
from asman_shared.transfer.address_guard import AddressGuard
from asman_shared.units import GIB

from ..builds.builder import Builder, BuildLimits
from ..builds.git_source import Repositories
from ..builds.secrets import BuildSecrets
from ..execution.disk_use import DiskGuard
from ..images.credentials import Credentials
from ..images.engine import ANSWER_SECONDS, LOST, ask, close_engine, cut_off, is_podman, open_engine, own_ulimits
from ..images.images import Images, PullPolicy
from ..images.rules import ImageRules
from ..images.usage import ImageUsage
from .config import NO_NETWORK, Confines
from .network import REMEDY, NetworkRules, OwnNetwork, remove_leftovers

log = logging.getLogger("asman.worker.engine")

INTERNET: Final = "internet"
OPEN: Final = "open"
_OPEN_NOTE: Final = "jobs can reach this host and its private networks (--network open)"
AWAY_SECONDS: Final = 300.0
"""Longest absence of an engine before its jobs fail, in seconds."""
_ASK_SECONDS: Final = 5.0
_LEAVE_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.3
_IMAGES_KNOWN: Final = 10_000
"""Number of images that are remembered as free of links."""
_HOLDING: Final = frozenset({"btrfs", "zfs"})
"""Storage drivers that can limit the size of a container; with others, the worker measures it."""


@dataclass(frozen=True, slots=True)
class EngineChoices:
    """The operator's settings for an engine.

    Attributes:
        url: Address of the engine; empty to discover it.
        network: ``internet`` for the worker's own network, ``open`` for that network without rules, ``none``, or the
            name of one of the engine's networks.
        stop_grace: Time between SIGTERM and SIGKILL after a time limit has passed, in milliseconds.
        confines: Settings of every container; `SharedEngine.confines` fills in network and disk.
        pull: Policy for asking registries.
        rules: Rules for the images that may be used.
        local_images: Patterns of images on the engine that jobs may use although this worker did not bring them.
        registry_auth: File with logins for registries.
        git_credentials: File with logins for git servers.
        git_credentials_for: The repositories that they are for, as ``build:PATTERN``.
        secrets: Folder with the secrets that builds may use.
        secret_sources: The sources of each secret, as ``NAME=build:PATTERN``.
        allow_hosts: Private hosts that builds may be fetched from.
        context: Largest size of the files of one build, in bytes.
    """

    url: str = ""
    network: str = NO_NETWORK
    stop_grace: int = 5000
    confines: Confines = field(default_factory=lambda: Confines(incarnation="nobody"))
    pull: PullPolicy = "missing"
    rules: ImageRules = field(default_factory=ImageRules)
    local_images: tuple[str, ...] = ()
    registry_auth: Path | None = None
    git_credentials: Path | None = None
    git_credentials_for: tuple[str, ...] = ()
    secrets: Path | None = None
    secret_sources: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    context: int = 2 * GIB


class SharedEngine:
    """An engine, open or not.

    Args:
        choices: The operator's settings.
        owner: Names this worker process's own images and network.
        folder: Folder for the files of running builds.
        image_usage: Records this worker's images and their last use.
        guard: Bounds what jobs and builds write to the disk.
    """

    def __init__(
        self,
        choices: EngineChoices,
        owner: str,
        folder: Path,
        image_usage: ImageUsage,
        guard: DiskGuard,
    ) -> None:
        self.choices = choices
        self.guard = guard
        self.platform = ""
        self.info: dict[str, Any] = {}
        # Ids of images of which no link makes a job's folders overlap; an id never means another image.
        self.without_links: set[str] = set()
        self._ulimits: tuple[tuple[str, int], ...] = ()
        self._owner = owner
        self._folder = folder
        self.image_usage = image_usage
        self._docker: Docker | None = None
        self._images: Images | None = None
        self._builder: Builder | None = None
        self._own: OwnNetwork | None = None
        self._users = 0
        self._opening = asyncio.Lock()

    async def open(self) -> str:
        """Connects for one more user; returns the engine's platform.

        Raises:
            Unavailable: No engine answers, or it lacks a feature that the operator requires.
            BadRequest: The registry credentials can't be read, or secrets or logins are bound to no sources.
        """
        async with self._opening:
            if self._docker is None:
                await self._open()
            self._users += 1
        return self.platform

    async def _open(self) -> None:
        choices = self.choices
        credentials = Credentials(choices.registry_auth)
        credentials.check()
        guard = AddressGuard(choices.allow_hosts, secure=True)
        secrets = BuildSecrets(choices.secrets, choices.secret_sources)
        repositories = Repositories(
            guard,
            most=choices.context,
            credentials=choices.git_credentials,
            private=choices.git_credentials_for,
            rules=choices.rules,
        )
        docker, version = await open_engine(choices.url)
        try:
            self.platform = f"{version.get('Os', 'linux')}/{version.get('Arch', '')}"
            self.info = dict(await docker.system.info())
            self._ulimits = own_ulimits() if is_podman(version) else ()
            runtimes = self.info.get("Runtimes") or {}
            if choices.confines.runtime and choices.confines.runtime not in runtimes:
                have = ", ".join(sorted(runtimes)) or "none"
                raise Unavailable(f"the engine has no runtime '{choices.confines.runtime}'; it has {have}")
            if choices.network in (INTERNET, OPEN):
                await remove_leftovers(docker)
                self._own = OwnNetwork(docker, self._owner, chosen_open=choices.network == OPEN)
                await self._own.open()
        except BaseException:
            await close_engine(docker)
            raise
        self._images = Images(
            docker,
            policy=choices.pull,
            rules=choices.rules,
            credentials=credentials,
            usage=self.image_usage,
            local=choices.local_images,
            guard=guard,
        )
        self._builder = Builder(
            docker,
            self._images,
            owner=self._owner,
            folder=self._folder,
            rules=choices.rules,
            guard=guard,
            repositories=repositories,
            secrets=secrets,
            usage=self.image_usage,
            disk=self.guard,
        )
        self._docker = docker

    async def close(self) -> None:
        """Removes one user; the last one closes the connection. Containers keep running."""
        async with self._opening:
            self._users = max(0, self._users - 1)
            if self._users == 0 and (docker := self._docker) is not None:
                self._docker = None
                if self._own is not None:
                    with contextlib.suppress(aiohttp.ClientError, OSError):
                        await self._own.close()
                    self._own = None
                await close_engine(docker)

    @property
    def network_rules(self) -> NetworkRules | None:
        """The rules of the worker's own network; None without one."""
        return self._own.network_rules if self._own is not None else None

    async def ensure_network_rules(self) -> None:
        """Ensures that the network rules are in place; called before each start of a container, and at intervals.

        Raises:
            ExecutionError: The rules were removed and can't be set up again.
        """
        if self._own is not None:
            await self._own.hold()

    async def clear_leftovers(self) -> None:
        """Removes networks and rules of dead workers."""
        if self._own is not None:
            await remove_leftovers(self.docker)

    @property
    def docker(self) -> Docker:
        """The connection."""
        assert self._docker is not None  # noqa: S101 - open() came first
        return self._docker

    @property
    def images(self) -> Images:
        """Its images."""
        assert self._images is not None  # noqa: S101 - open() came first
        return self._images

    @property
    def builder(self) -> Builder:
        """Its builds."""
        assert self._builder is not None  # noqa: S101 - open() came first
        return self._builder

    @property
    def network(self) -> str:
        """The network of containers, by name: none where the rules that it needs can't be set."""
        return self.network_rules.usable if self.network_rules is not None else self.choices.network

    @property
    def lacks_network(self) -> bool:
        """Whether containers have no network although the operator wants them to have one."""
        return self.network == NO_NETWORK != self.choices.network

    @property
    def reach(self) -> str:
        """The network of containers in a word for people: ``internet``, ``open``, ``none`` or a network's name."""
        return NO_NETWORK if self.network == NO_NETWORK else self.choices.network

    def notes(self) -> list[str]:
        """Lists conditions that the operator should know of, but with which the worker works."""
        if self.lacks_network and self.network_rules is not None:
            return [f"jobs have no network, because its rules can't be set: {self.network_rules.why}; {REMEDY}"]
        return [_OPEN_NOTE] if self.reach == OPEN else []

    def lost(self, network: str) -> bool:
        """Whether a container is in this worker's network, although that has no rules any more."""
        rules = self.network_rules
        return rules is not None and network == rules.network != rules.usable

    def confines(self, incarnation: str) -> Confines:
        """Returns the settings for the containers of one queue."""
        holds = self.info.get("Driver") in _HOLDING
        return replace(
            self.choices.confines,
            incarnation=incarnation,
            network=self.network,
            disk=self.guard.most if holds else 0,
            ulimits=self._ulimits,
        )

    def build_limits(self) -> BuildLimits:
        """Returns the limits of one build."""
        confines = self.choices.confines
        return BuildLimits(self.choices.context, confines.memory, confines.cpus, self.network, confines.pids)

    def looked_into(self, image: str) -> None:
        """Notes that no link in an image makes a job's folders overlap."""
        if len(self.without_links) >= _IMAGES_KNOWN:
            self.without_links.clear()
        self.without_links.add(image)

    async def wait_until_back(self, error: ExecutionError) -> bool:
        """Waits until an engine that went away is back.

        Args:
            error: The error that a call to the engine raised.

        Returns:
            True if the engine was away, so that another try may help; False at once if it was not away.
        """
        if not cut_off(error.__cause__) and await self.accepts():
            return False
        log.warning("the engine is away (%s); waiting for it", error.message)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + AWAY_SECONDS
        await asyncio.sleep(_LEAVE_SECONDS)  # an engine that is being stopped still answers
        while loop.time() < deadline:
            with contextlib.suppress(*LOST, TimeoutError):
                async with asyncio.timeout(_ASK_SECONDS):
                    await self.docker.version()
                    return True
            await asyncio.sleep(_PAUSE_SECONDS)
        return False

    async def accepts(self) -> bool:
        """Whether the engine takes new connections: one that is being stopped does not, but answers on existing ones.

        An engine without a local socket counts as accepting.
        """
        path = getattr(self.docker.connector, "path", "")
        if not path:
            return True
        try:
            _, writer = await asyncio.open_unix_connection(path)
        except OSError:
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    async def answers(self) -> bool:
        """Whether the engine answers soon; one that hangs takes connections and may say its version all the same."""
        with contextlib.suppress(*LOST, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await ask(self.docker)
                return True
        return False
