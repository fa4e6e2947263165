"""The peers, each with the settings that it is measured in."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.peers.environments import OURS
from bench.small_jobs import CONCURRENT, IN_FRAME, WINDOW

SYNCED_REDIS: Final = "every write synced"
PLAIN_REDIS: Final = "snapshots now and then"


@dataclass(frozen=True)
class Side:
    """One system in one setting: a row of the tables.

    Attributes:
        name: What it is chosen by.
        title: What the row says.
        module: Its client and worker, in ``bench/peers``.
        environment: The virtual environment that these run in; `OURS` for Asman.
        package: Whose version is told.
        server: One of `bench.peers.servers.KINDS`; empty when the peer is its own.
        durability: What a power cut can't take from a user who was told that the job is there.
        chosen: What was chosen for it among its ways to work.
        roles: Its processes beside the client, in the order of their start.
        latency: Whether it is measured one job at a time.
        beside: The name of the side that it is compared with.
        least: Jobs of a run at least, where a short one would not tell.
    """

    name: str
    title: str
    module: str
    environment: str
    package: str
    server: str
    durability: str
    chosen: str = ""
    roles: tuple[str, ...] = ("work",)
    latency: bool = True
    beside: str = ""
    least: int = 100


FRAMES: Final = "asman"
LIBRARY: Final = "asman-library"
PROCESSES: Final = "asman-processes"
POSTGRES: Final = "asman-postgres"

HUB_SYNCED: Final = "every commit synced"


def _both(
    name: str, package: str, synced: tuple[str, str], plain: tuple[str, str], chosen: str, title: str
) -> tuple[Side, Side]:
    durable = Side(f"{name}", f"{title}, durable", name, name, package, synced[0], synced[1], chosen)
    fastest = Side(f"{name}-fastest", f"{title}, fastest", name, name, package, plain[0], plain[1], chosen)
    return durable, fastest


def _on_redis(name: str, package: str, chosen: str, title: str) -> tuple[Side, Side]:
    return _both(name, package, ("redis, synced", SYNCED_REDIS), ("redis", PLAIN_REDIS), chosen, title)


SIDES: Final = (
    Side(
        *(FRAMES, "Asman, frames", "asman_frames", OURS, "asman", "hub", HUB_SYNCED),
        f"the wire by hand: {IN_FRAME} submits in a frame, {WINDOW:,} jobs in flight; a worker of {CONCURRENT} that "
        "finishes at once",
    ),
    Side(
        *(LIBRARY, "Asman, library", "asman_library", OURS, "asman", "hub", HUB_SYNCED),
        "run_many of the Python library with its default window; the same worker",
    ),
    Side(
        *(POSTGRES, "Asman on Postgres, frames", "asman_frames", OURS, "asman", "hub, postgres", HUB_SYNCED),
        "as Asman's frames; its hub keeps its state in Postgres",
        beside=FRAMES,
    ),
    *_on_redis("arq", "arq", "one asyncio worker of 100; worker and client look every 5 ms", "arq"),
    *_on_redis(
        *("taskiq", "taskiq", "stream broker, acknowledged; one asyncio worker of 100; the client looks every 2 ms"),
        "taskiq",
    ),
    *_on_redis("dramatiq", "dramatiq", "one worker of 8 threads (32 and 100 were slower); blocking reads", "Dramatiq"),
    *_on_redis(
        "celery",
        "celery",
        "one worker, a pool of 100 threads (prefork and solo cost more); results are pushed to the client",
        "Celery",
    ),
    *_on_redis("rq", "rq", "SimpleWorker: one job at a time in its own process; enqueue_many", "RQ"),
    *_both(
        *("procrastinate", "procrastinate", ("postgres, synced", "every commit synced")),
        *(
            ("postgres", "commits not waited for"),
            "one asyncio worker of 100 with LISTEN; batches of 500",
        ),
        "procrastinate",
    ),
    Side(
        *("dask", "Dask distributed", "dask", "dask", "distributed", "", "none: in memory"),
        "one scheduler, one worker of 100 threads; map and gather",
        roles=("serve", "work"),
    ),
    *_both(
        *("jetstream", "nats-py", ("nats, synced", "every write synced")),
        *(("nats", "synced every 2 minutes"), "work-queue stream, 100 unacknowledged; results in a stream"),
        "JetStream",
    ),
    Side(
        *(PROCESSES, "Asman, process executor", "asman_processes", OURS, "asman", "hub", HUB_SYNCED),
        "a process for each job, with folders, log and outputs",
        latency=False,
    ),
    Side(
        *("hyperqueue", "HyperQueue", "hyperqueue", "hyperqueue", "hyperqueue", "", "none: in memory"),
        "a process for each task, LocalCluster; its Python interface looks once a second",
        latency=False,
        beside=PROCESSES,
        least=2000,
    ),
)


SETTINGS: Final = (
    "Durable and fastest: Asman SQLite with synchronous=FULL; Redis with appendfsync always, and as it comes; Postgres "
    "with synchronous_commit on and off; NATS with sync_interval always, and as it comes."
)
NONE: Final = "none"
"""Notes for Asman alone."""


def chosen(names: str) -> list[Side]:
    """The sides that a comma-separated list names, Asman's always among them.

    A name alone means all settings of that peer.

    Raises:
        ArgumentTypeError: There is none of that name.
    """
    wanted = {FRAMES, LIBRARY}
    for name in (each.strip() for each in names.split(",")):
        found = {side.name for side in SIDES if name in (side.name, side.module)}
        if not found and name != NONE:
            raise ArgumentTypeError(f"there is no peer '{name}'; there are {', '.join(side.name for side in SIDES)}")
        wanted |= found | {side.beside for side in SIDES if side.name in found and side.beside}
    return [side for side in SIDES if side.name in wanted]


def title(name: str) -> str:
    """The title of the side of that name."""
    return next(side.title for side in SIDES if side.name == name)


def words(sides: Sequence[Side]) -> list[str]:
    """What was chosen for each, a sentence for all settings of a peer."""
    told: dict[str, str] = {}
    for side in sides:
        told.setdefault(side.module, f"{side.title.removesuffix(', durable')}: {side.chosen}.")
    return [SETTINGS, *told.values()]
