"""The hub: the parts of one process, and the order in which they open and close."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import HTTPConnection

from asman_shared.disk.private_folder import private
from asman_shared.errors import Misconfigured
from asman_shared.running.supervisor import Supervisor
from asman_shared.units import parse_duration, parse_size

from .access import Access
from .blobs import BlobService, BlobStore, Catalogue, Collector, FolderStore, Quota, S3Store
from .blobs.named_files import NamedFiles
from .blobs.s3_settings import S3Settings, s3_address
from .blobs.signing import Signer, load_secret
from .bodies import Bodies
from .clock import Clock, wall_clock
from .config import HubConfig
from .core import QueuePolicy
from .delivery.send_buffer import Flusher
from .disk_room import DiskRoom
from .front import Certificate, sender
from .job_links import JobLinks
from .keys import Keys
from .keys.store import KeyStore
from .limiting import Limiter
from .logs.reader import LogReader
from .migrations.schema import refuse_newer
from .names import short_names
from .probe import Probe
from .queues.registry import Registry
from .queues.retention import Retention, backfill_due_times
from .services import Services
from .sole_hub import PostgresLock, sole_hub
from .storage.address import is_sqlite
from .storage.database import close_engine, make_engine, make_primary, migrate, own_sqlite, sqlite_folder
from .storage.group_commit import GroupCommitter
from .storage.open_writer import open_writer
from .storage.postgres.shards import Fence, take_over
from .storage.postgres.standbys import tell_of_standbys
from .storage.postgres.writer import own_name
from .storage.primary import Primary
from .storage.reader import Store
from .webhooks.deliver import Deliverer
from .webhooks.sender import Sender
from .webhooks.signing import webhook_key

log = logging.getLogger("asman.hub")

READY_SECONDS: Final = 2.0
"""Time within which the database must answer for the hub to be ready, in seconds."""

LOCAL: Final = "local"
"""The name by which pages find the queue of their visitor's machine."""


def s3_settings(config: HubConfig) -> S3Settings | None:
    """Returns the S3 settings of the hub; None when blobs are in a folder."""
    if not config.blobs:
        return None
    bucket, prefix = s3_address(config.blobs)
    region = config.s3_region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    endpoint = config.s3_endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return S3Settings(
        bucket=bucket,
        prefix=prefix,
        endpoint=endpoint,
        public_endpoint=config.s3_public_endpoint,
        region=region or "us-east-1",
        access_key=config.s3_access_key,
        secret_key=config.s3_secret_key.get_secret_value(),
        # Only AWS serves bucket names as host names by default.
        path_style=bool(endpoint) if config.s3_path_style is None else config.s3_path_style,
    )


async def tried_bucket(config: HubConfig) -> AsyncIterator[tuple[str, str, bool]]:
    """Tries out the bucket of a hub without opening the hub.

    Yields:
        For each step its name, the reason why it failed (empty if it worked), and whether trying again can't help.
    """
    settings = s3_settings(config)
    if settings is None:
        return
    store = S3Store(settings, wall_clock)
    async with store.connected():
        async for tried in store.examine():
            yield tried.what, tried.error.message if tried.error is not None else "", tried.permanent


def _blob_store(config: HubConfig, signer: Signer, clock: Clock) -> BlobStore:
    """Makes the blob store that the settings name."""
    settings = s3_settings(config)
    if settings is None:
        return FolderStore(config.data_dir / "blobs", signer, clock, reserve=parse_size(config.disk_reserve))
    return S3Store(settings, clock)


def _folders(config: HubConfig) -> list[Path]:
    """Returns the folders whose disk must have room for the hub to take work: of blobs and of SQLite, if they are."""
    database = sqlite_folder(config.database)
    blobs = [] if config.blobs else [config.data_dir / "blobs"]
    return blobs if database is None else [*blobs, database]


def _certificate(config: HubConfig, clock: Clock) -> Certificate | None:
    """Loads the hub's own certificate; None for a hub that speaks plain HTTP."""
    if config.tls_cert is None or config.tls_key is None:
        return None
    return Certificate(config.tls_cert, config.tls_key, clock)


class Hub:
    """All parts of one hub. Use it as an async context manager: the hub is open inside.

    Args:
        config: The settings.
        clock: Returns the current time.

    Raises:
        Misconfigured: The certificate can't be used, or the data folder is a worker's.
    """

    def __init__(self, config: HubConfig, clock: Clock = wall_clock) -> None:
        self.config = config
        self.clock = clock
        self.certificate = _certificate(config, clock)
        self._policy = QueuePolicy(
            grace=parse_duration(config.grace),
            retention=parse_duration(config.retention),
            longest_retention=parse_duration(config.longest_retention),
            log_bytes=parse_size(config.log_limit),
            private_webhooks=config.allow_private_webhooks,
        )
        if os.path.lexists(config.data_dir / "incarnation"):
            raise Misconfigured(
                f"{config.data_dir} is the data folder of a worker, and a hub needs one of its own: choose another "
                "with --data-dir",
                field="data_dir",
            )
        if open_to_others := private(config.data_dir, marks=("secret",)):
            log.error("the hub's files are not its own alone", extra={"reason": open_to_others})
        self._secret = load_secret(config.data_dir / "secret")
        self.signer = Signer(self._secret)
        self.short_names = short_names(self._secret)
        self.blobs = BlobService(
            _blob_store(config, self.signer, clock),
            clock,
            Quota(parse_size(config.blob_quota) if config.blob_quota and not config.blobs else None),
            config.blob_retention_ms,
        )
        reserve = parse_size(config.disk_reserve)
        incoming = config.data_dir / "blobs" / "incoming"
        self.files = NamedFiles(self.blobs, incoming, clock, reserve=reserve, private=config.private_names)
        self.bodies = Bodies()
        self.room = DiskRoom(_folders(config), reserve)
        self.log_reader = LogReader()
        self.links = JobLinks(self._secret)
        self.limiter = Limiter(config.limits_on_use, config.without_limits)
        self.services = Services(
            self.blobs, Flusher(), clock, self.log_reader, self.links, config.default_image, self.limiter
        )
        self._probes = (
            Probe("the database", self._database_fault),
            Probe("the storage for blobs", self.blobs.store.fault),
        )
        self.closing = asyncio.Event()
        self.supervisor = Supervisor(log, "hub")
        self.engine: AsyncEngine
        self.committer: GroupCommitter
        self.store: Store
        self.keys: Keys
        self.registry: Registry

    async def unready(self) -> str:
        """Returns why the hub can't take work now although it runs; empty if it can."""
        if self.supervisor.failed:
            return f"the task '{self.supervisor.failed}' has ended; the hub must be started again"
        if self.closing.is_set():
            return "the hub is ending"
        if self.committer.failing is not None:
            return f"the database can't be written: {self.committer.failing}"
        if full := self.room.full():
            return full
        wrong = await asyncio.gather(*(probe.wrong() for probe in self._probes))
        return next(filter(None, wrong), "")

    async def _database_fault(self) -> str:
        try:
            async with asyncio.timeout(READY_SECONDS), self.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except TimeoutError:
            return f"the database did not answer within {READY_SECONDS:g} s"
        except (OSError, SQLAlchemyError) as error:
            return f"the database can't be read: {type(error).__name__}"
        return ""

    def queue_name(self, key: str) -> str:
        """Returns the queue for a key: ``local`` stands for this machine's own queue, if there is one."""
        return self.config.local_queue if key == LOCAL and self.config.local_queue else key

    def sender(self, connection: HTTPConnection) -> str:
        """Returns the party for whose limits a request or websocket counts; empty if it has none."""
        return self.limiter.sender(sender(connection))

    async def access(self, connection: HTTPConnection, given: str) -> Access:
        """Returns the queue of a name or key that a request or websocket uses; see `Keys.access`."""
        return await self.keys.access(given, self.sender(connection))

    def webhook_key(self, queue: str) -> str:
        """Returns the key that signs the webhooks of a queue; see `asman_server.webhooks.signing`."""
        return webhook_key(self._secret, queue)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Hub]:
        """Opens the database, loads the queues with unfinished work, and closes everything in the right order.

        At the end, connections are told to reconnect later, the last commit is written and the write buffer is flushed,
        and then the database is closed.

        Raises:
            Misconfigured: A newer hub has written the database.
            Unavailable: The database can't be opened, or another hub uses it or the data folder.
        """
        database = self.config.database
        primary = None if is_sqlite(database) else make_primary(database)
        async with (
            sole_hub(self.config.data_dir, database, primary, take_over=self.config.take_over) as lock,
            self._opened(lock, primary),
        ):
            yield self

    @asynccontextmanager
    async def _opened(self, lock: PostgresLock | None, primary: Primary | None) -> AsyncIterator[None]:
        if open_to_others := own_sqlite(self.config.database):
            log.error("the hub's database is not its own alone", extra={"reason": open_to_others})
        self.engine = make_engine(self.config.database, primary=primary)
        writing_engine = make_engine(self.config.database, pool=1, primary=primary)
        try:
            await refuse_newer(self.engine)
            await migrate(self.engine)
            fence = None if primary is None else Fence(await take_over(primary, own_name()), self._secret)
            writer = await open_writer(writing_engine, fence)
            await backfill_due_times(self.engine, self._policy.retention, fence)
            self.committer = GroupCommitter(writer)
            if sqlite_folder(self.config.database) is not None:
                self.committer.full = self.room.full
            self.store = Store(self.engine, writer.flushed)
            self.keys = Keys(self._secret, KeyStore(self.engine), self.committer, self.clock)
            await self.keys.make_again(self.engine, fence)
            self.registry = Registry(
                self.committer,
                self.store,
                self.clock,
                self._policy,
                short_names=self.short_names,
                keys=self.keys,
                limiter=self.limiter,
            )
            retention = Retention(self.registry, self.store, self.committer, self.clock, self._policy.retention)
            catalogue = Catalogue(self.engine, self.committer)
            collector = Collector(self.blobs, self.clock, self.config.blob_retention_ms)
            sender = Sender(self._secret, self.clock, allow_private=self.config.allow_private_webhooks)
            async with sender, self.blobs.open(catalogue):
                deliverer = Deliverer(self.store, self.committer, sender, self.clock, short_names=self.short_names)
                self.committer.on_webhooks = deliverer.wake
                start = self.supervisor.start
                writing = start("group commit", self.committer.run())
                others = [
                    start("registry", self.registry.look_after()),
                    start("storage for blobs", self.blobs.store.look_after(), may_end=True),
                ]
                if self.certificate is not None:
                    others.append(start("certificate", self.certificate.look_after()))
                if primary is not None:
                    await tell_of_standbys(primary)
                    others.append(start("hosts of the database", primary.watch()))
                if lock is not None:
                    others.append(start("lock on the database", lock.keep()))
                try:
                    await self.blobs.adopt()
                    others += [
                        start("webhooks", deliverer.run()),
                        start("retention", retention.run()),
                        start("blob collection", collector.run()),
                        start("keys", self.keys.look_after()),
                        start("write buffer", writer.keep_flushing()),
                    ]
                    log.info("hub open", extra={"database": self.engine.url.get_backend_name()})
                    yield
                finally:
                    self.supervisor.close()
                    for probe in self._probes:
                        await probe.close()
                    for task in others:
                        task.cancel()
                    await asyncio.wait(others)
                    await self.registry.close()
                    self.committer.close()
                    await asyncio.wait([writing], timeout=self.config.shutdown_timeout)
                    writing.cancel()
                    await asyncio.wait([writing])
                    await writer.close()
        finally:
            self.log_reader.close()
            await close_engine(writing_engine)
            await close_engine(self.engine)
            log.info("hub closed")
