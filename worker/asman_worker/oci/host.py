"""The parts that all queues of a worker share for containers without an engine: runtime, images, control groups."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from asman_shared.errors import Unavailable
from asman_shared.transfer.address_guard import AddressGuard

from ..config import platform_name
from ..containers.config import NO_NETWORK, Confines
from ..containers.shared_engine import INTERNET, EngineChoices
from ..execution.disk_use import DiskGuard
from ..images.credentials import Credentials
from .cgroups import PARENT
from .container import ABOUT, Container
from .image_store import ImageStore
from .images import OciImages
from .local_images import LocalImages
from .monitor_starter import MonitorStarter
from .network import OwnBridge, remove_dead
from .rootless.kept_files import Files, open_files
from .runtime import Runtime, choose_runtime

log = logging.getLogger("asman.worker.oci")

BUBBLEWRAP: Final = "bubblewrap"
"""The kind of containers that need nothing to be set up."""
REMEDY: Final = (
    "run the worker with the right to set up interfaces and rules of the packet filter, with iproute2, iptables and "
    "net.ipv4.ip_forward=1; or choose --network none"
)
"""The ways out, where containers can have no network."""


class OciHost:
    """The machine, for containers without an engine.

    Args:
        choices: The operator's settings.
        owner: Names this worker process's own control group.
        folder: The worker's own folder for containers.
        store: The image store.
        given: Images by file, as the operator named them.
        guard: Bounds what jobs write to the disk.
        kind: ``oci``, or ``bubblewrap`` for containers by that program instead of a runtime.
    """

    def __init__(
        self,
        choices: EngineChoices,
        owner: str,
        folder: Path,
        store: ImageStore,
        given: tuple[str, ...],
        guard: DiskGuard,
        kind: str = "oci",
    ) -> None:
        self.kind = kind
        self.choices = choices
        self.guard = guard
        self.store = store
        self.group = f"/{PARENT}/{owner[:16]}"
        self.starter = MonitorStarter()
        self.files = Files()
        self.notes_of_runtime = folder / "runtime"
        self._folder = folder
        self._given = given
        self._runtime: Runtime | None = None
        self._images: OciImages | None = None
        self.bridge = OwnBridge(owner) if choices.network == INTERNET else None
        self._users = 0
        self._opening = asyncio.Lock()

    async def open(self) -> str:
        """Finds a runtime for one more user; returns the platform of this machine.

        Raises:
            Unavailable: No container can be run here.
            BadRequest: A file that the operator named can't be read.
        """
        async with self._opening:
            if self._runtime is None:
                try:
                    await self._open()
                except BaseException:
                    await asyncio.to_thread(self._end_programs)
                    raise
            self._users += 1
        return platform_name()

    async def _open(self) -> None:
        choices = self.choices
        if choices.network not in (INTERNET, NO_NETWORK):
            raise Unavailable(
                f"the executor {self.kind} has no network '{choices.network[:80]}': choose --network none, or "
                "--executor docker"
            )
        credentials = Credentials(choices.registry_auth)
        credentials.check()
        local = LocalImages(self._given)
        await asyncio.to_thread(local.load)
        light = self.kind == BUBBLEWRAP
        self.files = await asyncio.to_thread(partial(open_files, light=light))
        self.guard.look = self.files.use
        await asyncio.to_thread(self.store.open, self.files)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        runtime = await choose_runtime(
            choices.confines.runtime, self._folder, self.group, self.starter, self.files, light=light
        )
        log.info("containers are run by %s: %s", runtime.program, runtime.isolation)
        if self.bridge is not None:
            await remove_dead()
            await self.bridge.open(await asyncio.to_thread(self._addresses))
        self._images = OciImages(
            self.store,
            self._folder / "images.json",
            policy=choices.pull,
            rules=choices.rules,
            credentials=credentials,
            local=local,
            guard=AddressGuard(choices.allow_hosts, secure=True),
        )
        self._runtime = runtime
        for note in self.notes():
            log.warning("%s", note)

    def _end_programs(self) -> None:
        self.starter.close()
        self.files.close()

    async def close(self) -> None:
        """Removes one user. Containers keep running."""
        async with self._opening:
            self._users = max(0, self._users - 1)
            if self._users == 0 and (runtime := self._runtime) is not None:
                self._runtime = None
                await asyncio.to_thread(self._end_programs)
                if self.bridge is not None:
                    await self.bridge.close()
                # The group of all workers stays: another worker may be about to make its own in it.
                await asyncio.to_thread(runtime.layout.drop, self.group)

    @property
    def runtime(self) -> Runtime:
        """The programs that run containers."""
        assert self._runtime is not None  # noqa: S101 - open() came first
        return self._runtime

    @property
    def images(self) -> OciImages:
        """The images of this worker."""
        assert self._images is not None  # noqa: S101 - open() came first
        return self._images

    @property
    def lacks_network(self) -> bool:
        """Whether containers have no network although the operator wants them to have one."""
        return self.bridge is not None and not self.bridge.usable

    @property
    def network(self) -> OwnBridge | None:
        """The network of containers; None for none."""
        return self.bridge if self.bridge is not None and self.bridge.usable else None

    @property
    def lacks(self) -> list[str]:
        """Lists what containers lack here, each in two words for lists of workers."""
        limits = ["limits watched"] if self._runtime is not None and not self._runtime.layout.version else []
        return limits if self.network is not None else [*limits, "no network"]

    def notes(self) -> list[str]:
        """Lists conditions that the operator should know of, but with which the worker works."""
        found = self._runtime.notes() if self._runtime is not None else []
        if self.bridge is None or self.bridge.usable:
            return found
        return [*found, f"jobs have no network, because its rules can't be set: {self.bridge.why}; {REMEDY}"]

    async def ensure_network_rules(self) -> None:
        """Ensures that the network rules are in place; called before each start of a container, and at intervals.

        Raises:
            ExecutionError: The rules were removed and can't be set up again.
        """
        if self.bridge is not None:
            await self.bridge.hold()

    def _addresses(self) -> dict[str, str]:
        """Returns the addresses of the containers of an earlier process, by name; blocks."""
        abouts = {path.parent.name: Container(path.parent).about for path in self._folder.glob(f"*/*/{ABOUT}")}
        return {name: str(about["address"]) for name, about in abouts.items() if about.get("address")}

    def confines(self, incarnation: str) -> Confines:
        """Returns the settings for the containers of one queue."""
        network = self.bridge.bridge if self.bridge is not None and self.bridge.usable else NO_NETWORK
        return replace(self.choices.confines, incarnation=incarnation, network=network)

    def folder_of(self, incarnation: str) -> Path:
        """Returns the folder of the containers of one queue."""
        return self._folder / incarnation

    def group_of(self, name: str) -> str:
        """Returns the path of a container's control group."""
        return f"{self.group}/{name}"

    def container(self, incarnation: str, name: str) -> Container:
        """Returns a container by its name."""
        return Container(self.folder_of(incarnation) / name, self.files)

    async def remove(self, container: Container, *, goes_on: bool = False) -> None:
        """Kills a container, and removes all that it left.

        Args:
            container: The container.
            goes_on: Whether another container of the job follows, to which the files of volumes still belong.

        Raises:
            OSError: Something can't be removed.
        """
        runtime = self.runtime
        place = self.group_of(container.folder.name)
        if self.bridge is not None:
            self.bridge.release(container.folder.name)
        outputs = container.about.get("outputs")

        def clear() -> None:
            runtime.layout.clear(place)
            if outputs and not goes_on:
                self.files.give(Path(str(outputs)))

        await container.remove(runtime.words, self.notes_of_runtime, clear)

    async def clear_leftovers(self) -> None:
        """Removes control groups of containers that have no folder any more, such as after a crash between the two."""
        notes = self.notes_of_runtime
        homes = [path for path in self._folder.iterdir() if path.is_dir() and path != notes]
        known = {path.name for home in homes for path in home.iterdir()} | {home.name for home in homes}
        layout = self.runtime.layout
        noted = {path.name for path in notes.iterdir()} if notes.is_dir() else set()
        for name in sorted((noted | set(layout.members(self.group))) - known):
            log.info("removing what is left of %s from an earlier run", name)
            await self.remove(Container(self._folder / "gone" / name, self.files))
        if self.bridge is not None:
            await remove_dead()

    async def trim(self) -> int:
        """Removes unused images beyond the quota; returns the bytes left."""
        return await asyncio.to_thread(self.store.trim)
