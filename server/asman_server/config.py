"""The hub's settings: a flag wins over an ``ASMAN_*`` variable, that over the file, that over the default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict
from sqlalchemy.exc import ArgumentError

from asman_shared import limits
from asman_shared.errors import BadRequest
from asman_shared.layered_settings import LayeredSettings, NamedPath, check_settings_file, checked, given, not_fitting
from asman_shared.units import GIB, KIB, format_size, parse_duration, parse_size

from .blobs.s3_settings import is_http_url, s3_address
from .disk_room import DISK_RESERVE
from .front import parse_trusted
from .front.proxies import Network
from .limiting.rates import Limits, Of, counts, rates
from .storage.address import parsed

LOG_LEAST = 64 * KIB
LOG_MOST = 4 * GIB
"""Bounds of the setting ``log_limit``, in bytes."""


OWN_MACHINE: Final = "127.0.0.0/8, ::1"
"""The networks without limits, unless the settings name others."""
BLOB_RETENTION_LEAST = 60_000
"""Shortest time that an unused blob is kept, in milliseconds."""

SHUTDOWN_MOST = 86_400.0
"""Longest time that the hub tries to end connections politely, in seconds."""


_LIMITS: Final[dict[str, Callable[[str], Any]]] = {
    "limit_submits": lambda text: rates(text, Of.ADDRESS, Of.KEY, Of.QUEUE),
    "limit_queued": lambda text: counts(text, Of.ADDRESS, Of.KEY, Of.QUEUE),
    "limit_bytes": lambda text: rates(text, Of.ADDRESS, Of.KEY, Of.QUEUE, size=True),
    "limit_connections": lambda text: counts(text, Of.ADDRESS, Of.QUEUE),
    "limit_queues": lambda text: rates(text, Of.ADDRESS),
}
"""The limits on the use of the hub: what reads each."""
NO_LIMITS: Final = dict.fromkeys(_LIMITS, "none")
"""The settings of a hub that limits nobody."""


class HubConfig(LayeredSettings):
    """The settings of an operator.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 for any free one.
        tls_cert: File with the hub's certificate and those that lead to its authority; absent to speak plain HTTP.
        tls_key: File with the key of the certificate.
        public_url: The hub's URL for others, if it is behind a proxy.
        trusted_proxies: Addresses and networks of the proxies whose ``X-Forwarded-`` headers count, or ``none``; empty
            to believe the sender's address and the scheme of those on this machine alone.
        data_dir: Folder for the database, the blobs and the hub's secret.
        database_url: ``postgresql://…`` or ``sqlite:///…``; absent means SQLite in the data folder.
        take_over: Whether the hub ends the session of another one that holds its database in Postgres.
        default_image: Image that clients use for jobs that don't name one; empty for none.
        log_level: Least severe log line that is written.
        log_format: ``json`` for machines, ``text`` for people.
        grace: Time for a lost worker to come back before its jobs are given to others.
        retention: Time that finished jobs, their results and their logs are kept, unless the queue sets another.
        longest_retention: The longest retention that a queue may set.
        blobs: ``s3://bucket/prefix`` to keep blobs in S3; empty for a folder in the data folder.
        blob_retention: Time that an unused blob is kept that no job names; empty for as long as jobs.
        blob_quota: Bytes that blobs may take in the folder, such as ``50GiB``; empty for as many as the disk has.
        disk_reserve: Bytes of the disk that stay free: with less, no new jobs, blobs and log lines are taken.
        s3_endpoint: URL of the S3 service; empty for AWS.
        s3_public_endpoint: URL of the S3 service for clients and workers, if it differs.
        s3_region: Region of the bucket.
        s3_access_key: The hub's access key, with ``s3_secret_key``. Both empty for AWS's own variables and roles.
        s3_secret_key: See ``s3_access_key``.
        s3_path_style: Whether the bucket is in the path; the default is yes if there is an endpoint.
        log_limit: Size of the log that is kept of each job; of a larger log, the beginning and the end are kept.
        public_job_ids: Whether a job's id alone shows its result, its log and its outputs: those of the queue whose
            result was the first.
        private_ids: Whether a job's id alone shows nothing, not even its definition and its inputs.
        private_names: Whether files with plain names get a random token before their name, so that it can't be guessed.
        allow_private_webhooks: Whether webhooks may call addresses outside the public internet.
        local_queue: The queue that ``local`` stands for on a person's own machine; empty for none.
        local_without_containers: Whether workers without containers may serve the queue that ``local`` stands for.
        local_port: A further port on loopback at which pages look for the queue ``local``; 0 for none.
        allow_origin: Origins whose pages may use the hub of this machine, such as ``https://example.org``.
        metrics_token: Token that ``/metrics`` needs; empty to answer it to programs on this machine alone.
        limit_submits: Submissions that a sender may make, such as ``address=50/s:20000,queue=200/s``: 50 a second, and
            20,000 at once. Limits count for an ``address``, a ``key`` to a queue or a ``queue``; ``none`` for no limit.
        limit_queued: Jobs that may wait at the same time, of an address, a key or a queue.
        limit_bytes: Bytes of blobs and logs that may be stored, such as ``address=256KiB/s:10GiB``.
        limit_connections: Connections that an address or a queue may have at the same time.
        limit_queues: Queues that may come into being from an address.
        unlimited: Addresses and networks without limits, beside this machine's own; ``none`` to limit those, too.
        shutdown_timeout: Time that the hub tries to end connections politely, in seconds.
    """

    model_config = SettingsConfigDict(env_prefix="ASMAN_", extra="ignore")
    other_tables: ClassVar[frozenset[str]] = frozenset({"worker"})
    file: ClassVar[Path | None] = None

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=limits.PORT)
    tls_cert: NamedPath | None = None
    tls_key: NamedPath | None = Field(default=None, validate_default=True)
    public_url: str = ""
    trusted_proxies: str = ""
    data_dir: NamedPath = Path(".asman")
    database_url: str = ""
    take_over: bool = False
    default_image: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"
    grace: str = "30s"
    retention: str = "7d"
    longest_retention: str = "365d"
    blobs: str = ""
    blob_retention: str = ""
    blob_quota: str = ""
    disk_reserve: str = format_size(DISK_RESERVE)
    s3_endpoint: str = ""
    s3_public_endpoint: str = ""
    s3_region: str = ""
    s3_access_key: str = ""
    s3_secret_key: SecretStr = SecretStr("")
    s3_path_style: bool | None = None
    log_limit: str = format_size(limits.LOG_BYTES)
    public_job_ids: bool = False
    private_ids: bool = False
    private_names: bool = False
    allow_private_webhooks: bool = False
    local_queue: str = ""
    local_without_containers: bool = False
    local_port: int = Field(default=0, ge=0, le=limits.PORT)
    allow_origin: tuple[str, ...] = ()
    metrics_token: SecretStr = SecretStr("")
    limit_submits: str = "address=50/s:20000,queue=200/s:50000"
    limit_queued: str = "address=50000,queue=200000"
    limit_bytes: str = "address=256KiB/s:10GiB,queue=1MiB/s:50GiB"
    limit_connections: str = "address=1000,queue=10000"
    limit_queues: str = "address=120/h:200"
    unlimited: str = ""
    shutdown_timeout: float = Field(default=10.0, ge=0, le=SHUTDOWN_MOST)

    @field_validator("tls_key")
    @classmethod
    def _is_pair(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) != (info.data.get("tls_cert") is None):
            raise ValueError("a certificate and its key belong together: give --tls-cert and --tls-key")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _is_proxies(cls, value: str) -> str:
        parse_trusted(value)
        return value

    @field_validator("unlimited")
    @classmethod
    def _is_networks(cls, value: str) -> str:
        parse_trusted(value)
        return value

    @field_validator("limit_submits", "limit_queued", "limit_bytes", "limit_connections", "limit_queues")
    @classmethod
    def _is_limit(cls, value: str, info: ValidationInfo) -> str:
        checked(_LIMITS[info.field_name or ""], value)
        return value

    @field_validator("grace", "retention", "longest_retention")
    @classmethod
    def _is_duration(cls, value: str) -> str:
        checked(parse_duration, value)
        return value

    @field_validator("log_limit")
    @classmethod
    def _is_log_limit(cls, value: str) -> str:
        if not LOG_LEAST <= checked(parse_size, value) <= LOG_MOST:
            raise ValueError(f"a job's log may have from {format_size(LOG_LEAST)} to {format_size(LOG_MOST)}")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, value: str) -> str:
        words = "a database is postgresql://user:password@host/name, or a file: sqlite:///path"
        if value.partition(":")[0].partition("+")[0] not in ("", "sqlite", "postgresql", "postgres"):
            raise ValueError(words)
        try:
            if value:
                parsed(value)
        except ArgumentError as error:
            raise ValueError(words if "parse" in str(error) else str(error)) from None
        return value

    @field_validator("blobs")
    @classmethod
    def _is_s3(cls, value: str) -> str:
        if value:
            checked(s3_address, value)
        return value

    @field_validator("blob_retention")
    @classmethod
    def _is_long_enough(cls, value: str) -> str:
        if value and checked(parse_duration, value) < BLOB_RETENTION_LEAST:
            raise ValueError("blobs are kept for 1m at least: between being asked about and being named by a job")
        return value

    @field_validator("blob_quota")
    @classmethod
    def _is_size(cls, value: str) -> str:
        if value:
            checked(parse_size, value)
        return value

    @field_validator("disk_reserve")
    @classmethod
    def _is_reserve(cls, value: str) -> str:
        checked(parse_size, value)
        return value

    @field_validator("s3_endpoint", "s3_public_endpoint")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not is_http_url(value):
            raise ValueError("write it like https://s3.example.org")
        return value

    @property
    def limits_on_use(self) -> Limits:
        """Returns the limits on the use of the hub."""
        return Limits(**{name.removeprefix("limit_"): read(getattr(self, name)) for name, read in _LIMITS.items()})

    @property
    def without_limits(self) -> tuple[Network, ...]:
        """Returns the networks without limits."""
        return parse_trusted(self.unlimited if self.unlimited.strip() else OWN_MACHINE)

    @property
    def blob_retention_ms(self) -> int:
        """Returns the time that an unused blob is kept, in milliseconds."""
        return max(BLOB_RETENTION_LEAST, parse_duration(self.blob_retention or self.retention))

    @property
    def database(self) -> str:
        """Returns the database's URL."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'hub.sqlite').absolute()}"

    @classmethod
    def settings_file(cls) -> Path | None:
        """Returns the file that `load_config` was given or has found."""
        return cls.file


def load_config(*, config: Path | None = None, **flags: Any) -> HubConfig:
    """Reads the settings from all sources.

    Args:
        config: A TOML file with the same names as the attributes.
        **flags: The values on the command line; None for a flag that was not given.

    Raises:
        BadRequest: A setting can't be read; the error names it and where it came from.
    """
    path = config or LayeredSettings.settings_file()
    check_settings_file(path)
    chosen = type("HubConfigFromFile", (HubConfig,), {"file": path, "__annotations__": {}, "__module__": __name__})
    try:
        made: HubConfig = chosen(**given(flags))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise BadRequest(
            f"the setting '{name}' (--{name.replace('_', '-')} or ASMAN_{name.upper()}) is wrong: {not_fitting(error)}",
            field=name,
        ) from None
    except ValueError as error:
        raise BadRequest(f"the configuration file {path} can't be read: {error}", field="config") from None
    return made
