"""Gets images into the store by the operator's policy: from a registry, or from a file that the operator named.

Each is pulled once for all jobs that wait for it. The names of what a worker pulled are that worker's own, so an image
that needs another worker's login is asked for at its registry, although its parts are in the store already.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from asman_shared.errors import AsmanError, ExecutionError
from asman_shared.states import Phase
from asman_shared.transfer.address_guard import AddressGuard
from asman_shared.units import format_size

from ..config import platform_name
from ..execution.interface import Reporter
from ..images.credentials import Credentials
from ..images.images import PullPolicy, check_registry, never_pulled, pull_failure
from ..images.reference import ImageReference
from ..images.rules import ImageRules
from ..images.shared_work import Audience, SharedWork
from .file_lock import FileLock
from .image_store import ImageStore, StoredImage
from .local_images import LocalImage, LocalImages, load_parts
from .manifests import (
    SETTINGS_BYTES,
    Blob,
    Manifest,
    Unreadable,
    fits,
    no_image_for,
    read_manifest,
    read_settings,
    select,
)
from .registry import Denied, Fetched, Registry

log = logging.getLogger("asman.worker.oci")

_EACH_SECONDS: Final = 0.5
_NAMES: Final = 10_000
_NESTED: Final = 4
_AT_ONCE: Final = 3
"""Number of layers of one image that come at the same time."""


class OciImages:
    """The images of one worker.

    Args:
        store: The machine's images.
        names: The file that records the images of this worker by name.
        policy: Policy for asking the registry: ``missing`` (only for a missing image), ``always`` or ``never``.
        rules: Rules for the images that may be used.
        credentials: Logins for registries.
        local: The images that the operator gave by file.
        guard: Checks the hosts of registries.
    """

    def __init__(
        self,
        store: ImageStore,
        names: Path,
        *,
        policy: PullPolicy,
        rules: ImageRules,
        credentials: Credentials,
        local: LocalImages,
        guard: AddressGuard,
    ) -> None:
        self._store = store
        self._file = names
        self._policy = policy
        self._rules = rules
        self._credentials = credentials
        self._local = local
        self._guard = guard
        self._pulls: SharedWork[tuple[str, str], StoredImage] = SharedWork()
        self._names: dict[str, tuple[str, str]] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            known = json.loads(names.read_bytes())
            self._names = {str(name): (str(image), str(digest)) for name, (image, digest) in known.items()}

    async def ensure(self, name: str, report: Reporter, *, platform: str = "") -> StoredImage:
        """Finds an image, or gets it in phase ``pulling``, as the policy says.

        Args:
            name: The name in the job's definition.
            report: Receives the progress.
            platform: Platform such as ``linux/arm64``; empty for this machine's own.

        Raises:
            BadDefinition: The name is not valid.
            ExecutionError: The image may not be used here, or is not available.
        """
        reference = ImageReference.parse(name)
        self._rules.check(reference)
        wanted = platform or platform_name()
        key = f"{reference} {wanted}"
        local = self._local.find(reference)
        if (local is not None or self._policy != "always") and (found := self._known(key)) is not None:
            return found
        if local is None and self._policy == "never":
            raise never_pulled(reference, platform, "--oci-image")
        if local is None:
            await check_registry(self._guard, reference)

        async def get(audience: Audience) -> StoredImage:
            audience.tell(lambda reporter: reporter.phase(Phase.PULLING))
            image = await (
                self._pull(reference, wanted, audience)
                if local is None
                else self._load(local, reference, wanted, audience)
            )
            self._record(key, image)
            if local is None:
                self._record(f"{replace(reference, tag='', digest=image.digest)} {wanted}", image)
            return image

        return await self._pulls.join((str(reference), wanted), report, get)

    def _known(self, key: str) -> StoredImage | None:
        found = self._names.get(key)
        return self._store.find(*found) if found is not None else None

    def _record(self, key: str, image: StoredImage) -> None:
        self._names.pop(key, None)
        self._names[key] = (image.id, image.digest)
        while len(self._names) > _NAMES:
            del self._names[next(iter(self._names))]
        fresh = self._file.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(self._names))
            fresh.replace(self._file)
        except OSError as error:
            log.warning("can't save the names of this worker's images: %s", error)

    async def _load(
        self, local: LocalImage, reference: ImageReference, platform: str, audience: Audience
    ) -> StoredImage:
        """Unpacks an image that the operator gave by file."""
        # Files are copied one after the other under one lock of the image, because their parts' names come with them.
        with await FileLock.wait(self._store.loading, exclusive=True):
            manifest, settings = await asyncio.to_thread(load_parts, local, platform, self._store, reference.familiar)
            return await self._unpack(manifest, settings, audience)

    async def _pull(self, reference: ImageReference, platform: str, audience: Audience) -> StoredImage:
        registry = Registry(reference, self._guard, self._credentials)
        try:
            fetched, manifest = await self._choose(registry, reference, platform)
            settings = await registry.small(manifest.settings, SETTINGS_BYTES)
            have = read_settings(settings).platform
            if not fits(have, platform):
                raise ExecutionError(f"image '{reference.familiar}' is available for {have}, not for {platform}")
            progress = _Progress(audience, sum(blob.size for blob in manifest.layers))
            async with contextlib.AsyncExitStack() as held:
                await self._fetch(registry, manifest, progress, held)
                image = await self._unpack(manifest, settings, audience)
        except Denied as error:
            raise pull_failure(reference, platform, str(error)) from error
        except Unreadable as error:
            raise ExecutionError(f"image '{reference.familiar}' could not be pulled: {error}") from error
        except ExecutionError as error:
            raise ExecutionError(
                f"image '{reference.familiar}' could not be pulled: {error.message}", fault=error.fault
            ) from error
        except AsmanError as error:
            raise pull_failure(reference, platform, error.message) from error
        except OSError as error:
            raise pull_failure(reference, platform, error.strerror or str(error)) from error
        finally:
            await registry.close()
        image = replace(image, digest=fetched.digest)
        size = sum(blob.size for blob in manifest.layers)
        told = f"pulled {reference.familiar} ({len(manifest.layers)} layers, {format_size(size)}): {image.digest}"
        audience.tell(lambda reporter: reporter.say(told))
        return image

    async def _choose(self, registry: Registry, reference: ImageReference, platform: str) -> tuple[Fetched, Manifest]:
        """Returns what the image's name leads to, and the manifest for a platform."""
        first = fetched = await registry.manifest(reference.digest or reference.tag)
        for _ in range(_NESTED):
            found = read_manifest(fetched.data)
            if isinstance(found, Manifest):
                return first, found
            choice = select(found, platform)
            if choice is None:
                raise no_image_for(reference.familiar, platform)
            fetched = await registry.manifest(choice.digest)
        raise Unreadable("its indexes lead to each other")

    async def _fetch(
        self, registry: Registry, manifest: Manifest, progress: _Progress, held: contextlib.AsyncExitStack
    ) -> None:
        """Gets the missing layers, several at once; ``held`` keeps all of them from being removed."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(blob: Blob) -> None:
            async with turns:
                lock = await self._store.part(blob)
                held.callback(lock.close)
                if self._store.has(blob):
                    progress.moved(blob.size)
                    return
                await registry.part(blob, self._store.partial(blob), progress.moved)
                await asyncio.to_thread(self._store.keep, blob)
                lock.share()
                lock.touch()

        # Two layers of an image may be the same.
        blobs = list({blob.digest: blob for blob in manifest.layers}.values())
        missing = sum(blob.size for blob in blobs if not self._store.has(blob))
        if missing > (room := self._store.room()):
            raise ExecutionError(
                f"its layers take {format_size(missing)}, and there is room for {format_size(room)}", fault="worker"
            )
        try:
            async with asyncio.TaskGroup() as tasks:
                for blob in blobs:
                    tasks.create_task(one(blob))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _unpack(self, manifest: Manifest, settings: bytes, audience: Audience) -> StoredImage:
        layers = len(manifest.layers)

        def told(done: int) -> None:
            audience.tell(lambda reporter: reporter.phase(Phase.PULLING, done, layers, "layers"))

        return await self._store.unpack(manifest, settings, told)


class _Progress:
    """Tells the bytes that arrived, a few times a second at most."""

    def __init__(self, audience: Audience, total: int) -> None:
        self._audience = audience
        self._total = total
        self._done = 0
        self._told = time.monotonic() - _EACH_SECONDS

    def moved(self, size: int) -> None:
        """Adds bytes; a negative number takes back those that must come again."""
        self._done += size
        now = time.monotonic()
        if now - self._told >= _EACH_SECONDS and self._total:
            self._told = now
            done, total = min(self._done, self._total), self._total
            self._audience.tell(lambda reporter: reporter.phase(Phase.PULLING, done, total, "bytes"))
