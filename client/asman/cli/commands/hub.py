"""``asman hub``: a hub in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asman_shared import limits

from .. import exits
from ..extras import require
from ..terminal import Terminal


def hub(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", min=0, max=limits.PORT, help="Port to listen on [8000].")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Folder for the database and the blobs [.asman].")
    ] = None,
    database_url: Annotated[
        str | None, typer.Option("--database-url", help="postgresql://… or sqlite:///… [in the data folder].")
    ] = None,
    take_over: Annotated[
        bool | None,
        typer.Option(
            "--take-over/--no-take-over",
            help="End the session of another hub that holds the Postgres database and is frozen or out of reach [no].",
        ),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option("--public-url", help="URL of this hub for others, if it is behind a proxy; may have a path."),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            "--tls-cert",
            help="File with the certificate to speak https with, and those that lead to its authority (PEM); it is "
            "loaded again when it changes [plain http].",
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", help="File with the key of the certificate (PEM).")
    ] = None,
    trusted_proxies: Annotated[
        str | None,
        typer.Option(
            "--trusted-proxies",
            help="Addresses and networks of proxies whose X-Forwarded-For, -Proto, -Host and -Prefix count, such as "
            "10.0.0.7,172.16.0.0/12; 'none' for nobody [-For and -Proto of this machine's own].",
        ),
    ] = None,
    default_image: Annotated[
        str | None, typer.Option("--default-image", help="Image for jobs that don't name one [none].")
    ] = None,
    retention: Annotated[str | None, typer.Option("--retention", help="How long finished jobs are kept [7d].")] = None,
    longest_retention: Annotated[
        str | None, typer.Option("--longest-retention", help="Longest time that a queue may keep its jobs [365d].")
    ] = None,
    blobs: Annotated[
        str | None, typer.Option("--blobs", help="s3://bucket/prefix to keep blobs in S3 [in the data folder].")
    ] = None,
    blob_quota: Annotated[
        str | None, typer.Option("--blob-quota", help="Maximum size of the blobs in the folder, such as 50GiB [none].")
    ] = None,
    disk_reserve: Annotated[
        str | None,
        typer.Option("--disk-reserve", help="Disk space to keep free; with less, nothing new is taken [512MiB]."),
    ] = None,
    blob_retention: Annotated[
        str | None, typer.Option("--blob-retention", help="How long unused blobs are kept [as long as jobs].")
    ] = None,
    s3_endpoint: Annotated[str | None, typer.Option("--s3-endpoint", help="URL of the S3 service [AWS].")] = None,
    s3_public_endpoint: Annotated[
        str | None, typer.Option("--s3-public-endpoint", help="URL of the S3 service for others [the same].")
    ] = None,
    s3_region: Annotated[
        str | None, typer.Option("--s3-region", help="Region of the S3 service [$AWS_REGION, else us-east-1].")
    ] = None,
    s3_path_style: Annotated[
        bool | None,
        typer.Option("--s3-path-style/--no-s3-path-style", help="Put the bucket in the path [yes with an endpoint]."),
    ] = None,
    log_limit: Annotated[
        str | None, typer.Option("--log-limit", help="Maximum size of the log kept for each job [16MiB].")
    ] = None,
    grace: Annotated[
        str | None, typer.Option("--grace", help="How long a disconnected worker may take to come back [30s].")
    ] = None,
    public_job_ids: Annotated[
        bool | None,
        typer.Option(
            "--public-job-ids/--no-public-job-ids", help="Let a job's id alone show its result, log and outputs [no]."
        ),
    ] = None,
    private_ids: Annotated[
        bool | None,
        typer.Option(
            "--private-ids/--no-private-ids",
            help="Let a job's id alone show nothing, not even its definition and inputs [no].",
        ),
    ] = None,
    private_names: Annotated[
        bool | None,
        typer.Option(
            "--private-names/--no-private-names",
            help="Put a random token before the name of each file that is sent to /f/<name>, so that nobody guesses it"
            " [no].",
        ),
    ] = None,
    allow_private_webhooks: Annotated[
        bool | None,
        typer.Option(
            "--allow-private-webhooks/--no-allow-private-webhooks",
            help="Allow webhooks to loopback, private and link-local addresses [no].",
        ),
    ] = None,
    limit_submits: Annotated[
        str | None,
        typer.Option(
            "--limit-submits",
            metavar="LIMITS",
            help="Jobs that may be submitted: RATE[:BURST] by address, key and queue; 'none' for no limit "
            "[address=50/s:20000,queue=200/s:50000].",
        ),
    ] = None,
    limit_queued: Annotated[
        str | None,
        typer.Option(
            "--limit-queued",
            metavar="LIMITS",
            help="Jobs that may wait at a time, by address, key and queue [address=50000,queue=200000].",
        ),
    ] = None,
    limit_bytes: Annotated[
        str | None,
        typer.Option(
            "--limit-bytes",
            metavar="LIMITS",
            help="Bytes of blobs and logs that may be stored, by address, key and queue "
            "[address=256KiB/s:10GiB,queue=1MiB/s:50GiB].",
        ),
    ] = None,
    limit_connections: Annotated[
        str | None,
        typer.Option(
            "--limit-connections",
            metavar="LIMITS",
            help="Connections that there may be at a time, by address and queue [address=1000,queue=10000].",
        ),
    ] = None,
    limit_queues: Annotated[
        str | None,
        typer.Option(
            "--limit-queues", metavar="LIMITS", help="New queues that an address may make [address=120/h:200]."
        ),
    ] = None,
    unlimited: Annotated[
        str | None,
        typer.Option(
            "--unlimited",
            metavar="NETWORKS",
            help="Addresses and networks without limits, such as 10.0.0.0/8 [this machine].",
        ),
    ] = None,
    log_level: Annotated[str | None, typer.Option("--log-level", help="debug, info, warning or error [info].")] = None,
    log_format: Annotated[str | None, typer.Option("--log-format", help="json or text [json].")] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="TOML file with the same names, with _ for - [$ASMAN_CONFIG]."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write the hub's address as JSON once it is ready.")] = False,
) -> None:
    """Run a hub that clients and workers connect to.

    Each option is taken from its flag, else from the environment (ASMAN_PORT, …), else from the file, else from the
    default in brackets. Keys for S3 are never flags: set ASMAN_S3_ACCESS_KEY and ASMAN_S3_SECRET_KEY, or use the
    settings of AWS's own tools. SIGTERM stops the hub cleanly.
    """
    require("hub")
    from asman_server.config import load_config
    from asman_server.main import run_hub
    from asman_shared.disk.own_files import own_files

    settings = exits.settings(
        load_config,
        config=config,
        host=host,
        port=port,
        data_dir=data_dir,
        database_url=database_url,
        take_over=take_over,
        public_url=public_url,
        tls_cert=tls_cert,
        tls_key=tls_key,
        trusted_proxies=trusted_proxies,
        default_image=default_image,
        retention=retention,
        longest_retention=longest_retention,
        blobs=blobs,
        blob_quota=blob_quota,
        disk_reserve=disk_reserve,
        blob_retention=blob_retention,
        s3_endpoint=s3_endpoint,
        s3_public_endpoint=s3_public_endpoint,
        s3_region=s3_region,
        s3_path_style=s3_path_style,
        log_limit=log_limit,
        grace=grace,
        public_job_ids=public_job_ids,
        private_ids=private_ids,
        private_names=private_names,
        allow_private_webhooks=allow_private_webhooks,
        limit_submits=limit_submits,
        limit_queued=limit_queued,
        limit_bytes=limit_bytes,
        limit_connections=limit_connections,
        limit_queues=limit_queues,
        unlimited=unlimited,
        log_level=log_level,
        log_format=log_format,
    )
    terminal = Terminal(json=json)
    with own_files():
        raise typer.Exit(run_hub(settings, (lambda address: terminal.value({"hub": address})) if json else None))
