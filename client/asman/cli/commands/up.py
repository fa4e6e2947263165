"""``asman up``: a hub and a worker in one process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from asman_shared import limits
from asman_shared.running.full_outputs import give_up_full_outputs

from ...address import Address
from .. import exits
from ..extras import require
from ..options import with_queue
from ..terminal import OutputClosedError, Terminal

if TYPE_CHECKING:
    from asman_server.config import HubConfig
    from asman_server.main import HubServer
    from asman_worker.config import WorkerConfig

DEFAULT_IMAGE: Final = "alpine:3"
EXECUTORS: Final = ("docker", "oci", "bubblewrap", "auto", "process")
"""Image for jobs that don't name one, unless the hub's settings name another."""


def up(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", min=0, max=limits.PORT, help="Port to listen on [8000].")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Folder for all data [.asman].")] = None,
    queue: Annotated[
        str | None, typer.Option("--queue", help="Name of the queue [an unguessable one, kept in the data folder].")
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            "--executor",
            metavar="docker|oci|bubblewrap|auto|process",
            help="docker; oci: containers without an engine; bubblewrap: the same where nothing may be set up, "
            "with weaker limits; auto: oci where no engine answers; process: no container, jobs run as your own user.",
        ),
    ] = "docker",
    network: Annotated[
        str | None, typer.Option("--network", help="Network of the containers, as in 'asman worker' [internet].")
    ] = None,
    cpus: Annotated[
        float | None, typer.Option("--cpus", min=limits.LEAST_CPUS, max=limits.CPUS, help="CPUs for jobs [all].")
    ] = None,
    memory: Annotated[str | None, typer.Option("--memory", help="Memory for jobs: 8GiB [all].")] = None,
    gpus: Annotated[int | None, typer.Option("--gpus", min=0, max=limits.GPUS, help="GPUs for jobs [0].")] = None,
    default_image: Annotated[
        str | None, typer.Option("--default-image", help="Image for jobs that don't name one [alpine:3].")
    ] = None,
    local_images: Annotated[
        list[str] | None,
        typer.Option(
            "--local-images", help="Images of this machine's own that jobs may use, too: 'me/*'. Repeatable [none]."
        ),
    ] = None,
    oci_image: Annotated[
        list[str] | None,
        typer.Option(
            "--oci-image",
            metavar="[NAME=]PATH",
            help="Without an engine (oci, bubblewrap): images in a file (OCI layout, or of 'docker save'). Repeatable.",
        ),
    ] = None,
    local_port: Annotated[
        int,
        typer.Option(
            "--local-port",
            min=0,
            max=limits.PORT,
            help="Port where pages on this machine look for the queue 'local'; 0 for none.",
        ),
    ] = 8000,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin",
            metavar="ORIGIN",
            help="Let pages of this origin run jobs through the queue 'local': https://… or '*' [none].",
        ),
    ] = None,
    local_without_containers: Annotated[
        bool,
        typer.Option(
            "--local-without-containers",
            help="Serve the queue 'local' with workers of --executor process, too: its jobs run as your own user [no].",
        ),
    ] = False,
    drain_timeout: Annotated[
        str, typer.Option("--drain-timeout", help="How long running jobs may continue when this command is stopped.")
    ] = "10s",
    log_level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")] = "warning",
    json: Annotated[bool, typer.Option("--json", help="Write the addresses as JSON.")] = False,
) -> None:
    """Start a hub and a worker here, print the queue's URL, and run until Ctrl-C or SIGTERM.

    The hub's data and the queue's name stay in the data folder, and the next 'asman up' uses them again.

    Pages on this machine find the queue under the name 'local', which they can guess; with --executor process, which
    holds jobs by nothing, they do so only with --local-without-containers. Without it, a hub with 'local' refuses other
    workers with --executor process, too.
    """
    require("hub", "worker")
    from asman_server.config import NO_LIMITS, load_config
    from asman_shared.disk.own_files import own_files
    from asman_shared.errors import BadRequest

    if executor not in EXECUTORS:
        from ...arguments import nearest

        near = nearest(executor, EXECUTORS)
        raise exits.usage(BadRequest(f"--executor must be one of {', '.join(EXECUTORS)}, not '{executor[:40]}'{near}"))
    config = exits.settings(
        load_config,
        host=host,
        port=port,
        data_dir=data_dir,
        default_image=default_image,
        log_level=log_level,
        log_format="text",
        public_job_ids=True,
    )
    config = config.model_copy(update=NO_LIMITS)
    if config.tls_cert is not None:
        raise BadRequest("'asman up' speaks plain HTTP: for a certificate run 'asman hub' and 'asman worker'")
    worker = {
        "network": network,
        "local_images": tuple(local_images) if local_images else None,
        "oci_image": tuple(oci_image) if oci_image else None,
        "cpus": cpus,
        "memory": memory,
        "gpus": gpus,
        "drain_timeout": drain_timeout,
    }
    if executor == "process" and not local_without_containers:
        local_port = 0
    with own_files():
        name = kept_queue(config.data_dir, queue)
        local = {
            "local_queue": name if local_port else "",
            "local_port": local_port,
            "local_without_containers": local_without_containers,
        }
        config = config.model_copy(update={**local, "allow_origin": origins(allow_origin or [])})
        raise typer.Exit(asyncio.run(_up(config, name, executor, worker, Terminal(json=json))))


def origins(given: list[str]) -> tuple[str, ...]:
    """Checks origins, which must be written as browsers write them.

    Raises:
        BadRequest: A value is not an origin.
    """
    from urllib.parse import urlsplit

    from asman_shared.errors import BadRequest

    for one in given:
        parts = urlsplit(one)
        plain = parts.scheme in ("http", "https") and parts.netloc and not parts.path.strip("/") and not parts.query
        if one not in ("*", "null") and not plain:
            raise BadRequest(f"--allow-origin must look like https://example.org, not '{one}'")
    return tuple(given)


def kept_queue(data_dir: Path, wanted: str | None) -> str:
    """Returns the name of the queue (the given, the previous or a new one), and keeps it in the data folder.

    Raises:
        BadRequest: The name is not a valid queue name.
        Unavailable: The data folder can't be used.
    """
    from asman_shared.disk.private_folder import private

    from ...address import check_queue_name, new_queue_name

    private(data_dir, marks=("secret",))  # as the hub does, which warns if others may enter it
    file = data_dir / "queue"
    if wanted is None:
        if file.exists():
            return check_queue_name(file.read_text(encoding="utf-8-sig").strip())
        wanted = new_queue_name()
    name = check_queue_name(wanted)
    file.touch(mode=0o600)
    file.write_text(f"{name}\n")
    return name


async def _up(config: HubConfig, queue: str, executor: str, worker: dict[str, Any], terminal: Terminal) -> int:
    from asman_server.logging_setup import set_up_logging
    from asman_server.main import HubServer

    set_up_logging(config.log_level, config.log_format)
    # Jobs never run outside a container without being told to.
    image = (config.default_image or DEFAULT_IMAGE) if executor != "process" else ""
    server = HubServer(config.model_copy(update={"default_image": image}))
    await server.start()
    try:
        return await _LocalWorker(server, Address(server.address, queue), executor, worker, terminal).run()
    finally:
        await server.stop()


class _LocalWorker:
    """The worker beside a running hub."""

    def __init__(
        self, server: HubServer, address: Address, executor: str, choices: dict[str, Any], terminal: Terminal
    ) -> None:
        self._server = server
        self._address = address
        self._executor = executor
        self._choices = choices
        self._terminal = terminal
        self._stop = asyncio.Event()
        self._at_once = asyncio.Event()
        self._announced = False

    async def run(self) -> int:
        """Runs the worker until a signal, or until the hub or the worker ends; returns the exit code."""
        from asman_worker.main import run_worker

        with self._signals():
            running = run_worker(self._settings(), stop=self._stop, on_ready=lambda _: self._announce())
            worker = asyncio.create_task(running)
            ended = asyncio.create_task(self._server.wait())
            at_once = asyncio.create_task(self._at_once.wait())
            try:
                await asyncio.wait([worker, ended, at_once], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (ended, at_once, worker):
                    task.cancel()
                await asyncio.wait([ended, at_once, worker])
        if not worker.cancelled() and worker.exception() is not None:
            return worker.result()
        return exits.OK if self._stop.is_set() else exits.NOT_RUN

    def _settings(self) -> WorkerConfig:
        from asman_worker.config import load_config

        folder = self._server.config.data_dir / "worker"
        return load_config(queue=self._address.url, data_dir=folder, executor=self._executor, **self._choices)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Handles signals: the first gives running jobs some time to finish, the second stops them."""
        loop = asyncio.get_running_loop()

        def signalled() -> None:
            if self._stop.is_set():
                self._at_once.set()
                return
            self._stop.set()
            with suppress(OutputClosedError):  # whoever read it may be gone: an ssh that broke, a `head`
                self._terminal.note("stopping; interrupt again to stop running jobs at once")

        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, signalled)
        give_up_full_outputs(numbers)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _announce(self) -> None:
        """Prints the addresses and some commands to try, the first time that the worker is connected."""
        from asman_server.rest.page import built

        if self._announced:
            return
        self._announced = True
        address, terminal = self._address, self._terminal
        local = f"{self._server.local_address}/q/local" if self._server.local_address else ""
        if terminal.json:
            terminal.value(
                {
                    "hub": address.hub,
                    "queue": address.queue,
                    "url": address.url,
                    "page": address.page,
                    "executor": self._executor,
                    "local": local,
                }
            )
            return
        terminal.result(f"queue  {address.url}")
        if built():
            terminal.result(f"page   {address.page}")
        else:
            terminal.note("the page was not built: 'make web' in the clone builds it")
        if local and self._server.found_by_pages:
            terminal.result(f"local  {local}")
        elif local:
            terminal.note(
                f"port {self._server.config.local_port} is in use: pages that use the queue 'local' won't find this hub"
            )
        terminal.note(f"\nrun something:\n\n  {with_queue(address.url, 'asman run -- echo hello')}\n")
        terminal.note(self._share())
        terminal.note("Ctrl-C stops it.")

    def _share(self) -> str:
        """Says how another machine can work for the queue, with an address that means this machine there, too."""
        from asman_server.front import address_for_others

        config, address = self._server.config, self._address
        hub = config.public_url or address_for_others(config.host, address.hub)
        if hub is None:
            return (
                "other machines can't reach it at this address: start it with --host 0.0.0.0 to share them, and give\n"
                "the queue's URL only to those whom you trust with this machine\n"
            )
        share = with_queue(Address(hub.rstrip("/"), address.queue).url, "asman worker")
        return f"share another machine that can reach this one:\n\n  {share}\n"
