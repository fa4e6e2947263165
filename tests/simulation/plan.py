"""The plan of a run: its setting, the wishes of its clients and the faults, all drawn from the seed ahead of time.

A plan is plain data. It can be written to a file, played again, and played with parts of it left out.
"""

from __future__ import annotations

from random import Random
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from tests.simulation.faults import FAULTS, Trouble, draw_troubles

BAD_SECONDS: Final = 60.0
"""Time in which clients submit jobs and faults happen, in seconds."""


class Setting(Struct):
    """The constants of a run.

    Attributes:
        workers: The cpus of each worker, by name.
        choosers: The cpus of each worker that chooses its jobs itself, by name.
        clients: The names of the clients.
        watching: The client that watches the whole queue.
        calm: Whether no worker is ever lost, so that no attempt may be charged.
        slow: The mean time of one step of the database, in seconds.
        delay: The mean delay of a message, in seconds.
        grace: Time that the hub waits for a lost worker, in milliseconds.
        retention: Time that finished jobs are kept, in milliseconds.
        finished_kept: Number of finished jobs that stay in the hub's memory.
        patience: Time that a job waits before smaller jobs stop overtaking it, in milliseconds.
        log_bytes: The size of the log that is kept of each job, in bytes; 0 for the hub's default.
        forgetful: The workers that lose some lines of a log for good, before they can send them.
        eager: The clients that submit a job again and again until they know how it ended.
        reading: The mean time of a query to the database, in seconds.
        packed: Whether many jobs of many sizes wait for few workers, so that room is often kept for large ones.
        plain: The workers without containers, which run only jobs without an image; the others run only jobs with one.
            If there are none, no worker says which it runs.
    """

    workers: dict[str, int]
    choosers: dict[str, int]
    clients: list[str]
    watching: str
    calm: bool
    slow: float
    delay: float
    grace: int
    retention: int
    finished_kept: int
    patience: int = 10_000
    log_bytes: int = 0
    forgetful: list[str] = []
    eager: list[str] = []
    reading: float = 0.0
    packed: bool = False
    plain: list[str] = []

    @property
    def hands(self) -> list[str]:
        """Returns the names of all workers."""
        return [*self.workers, *self.choosers]

    def told(self) -> str:
        """Returns a description for people."""
        cpus = ", ".join(f"{name} ({number} cpus)" for name, number in self.workers.items())
        choosing = ", ".join(f"{name} ({number} cpus)" for name, number in self.choosers.items())
        forgetful = ", ".join(self.forgetful) or "no worker"
        eager = ", ".join(self.eager) or "no client"
        plain = f"; without containers: {', '.join(self.plain)}" if self.plain else ""
        return (
            f"workers: {cpus or 'none'}; workers that choose: {choosing or 'none'}; {forgetful} loses log lines"
            f"{plain}\n"
            f"clients: {', '.join(self.clients)}; {self.watching} watches the queue, {eager} submits again and again\n"
            f"{'calm; ' if self.calm else ''}{'packed; ' if self.packed else ''}"
            f"grace {self.grace / 1000:g} s, patience {self.patience / 1000:g} s, "
            f"retention {self.retention / 1000:g} s, {self.finished_kept} finished jobs in memory, "
            f"{self.log_bytes or 'all'} bytes of a log\n"
            f"message {self.delay:g} s, step of the database {self.slow:g} s, question to it {self.reading:g} s"
        )


class Wished(Struct, frozen=True):
    """The job of a wish; ``kind`` decides its course on a worker, and ``plain`` is one without an image."""

    number: int
    kind: str
    cpus: int

    def told(self) -> str:
        """Returns a description for people."""
        return f"job {self.number} ({self.kind}, {self.cpus} cpus)"


class Want(Struct, tag="want", omit_defaults=True):
    """A client submits a job, for the first time or again."""

    at: float
    client: str
    job: Wished
    namespace: str = "_"
    forced: bool = False
    any: bool = False
    priority: int = 0
    queue_limit: int = 0
    hooked: bool = False

    def told(self) -> str:
        """Returns a description for people."""
        more = [f"in namespace {self.namespace}"] if self.namespace != "_" else []
        more += ["although a result is known"] if self.forced else []
        more += ["or takes any result"] if self.any else []
        more += [f"with priority {self.priority}"] if self.priority else []
        more += [f"to wait at most {self.queue_limit / 1000:g} s"] if self.queue_limit else []
        more += ["with webhooks"] if self.hooked else []
        return " ".join([f"{self.client} submits {self.job.told()}", *more])


class Stop(Struct, tag="cancel"):
    """A client cancels a job in a namespace, or in all."""

    at: float
    client: str
    job: Wished
    namespace: str

    def told(self) -> str:
        """Returns a description for people."""
        where = "all namespaces" if self.namespace == "*" else f"namespace {self.namespace}"
        return f"{self.client} cancels {self.job.told()} in {where}"


class Remove(Struct, tag="delete"):
    """A client deletes a job."""

    at: float
    client: str
    job: Wished

    def told(self) -> str:
        """Returns a description for people."""
        return f"{self.client} deletes {self.job.told()}"


class Order(Struct, tag="order", omit_defaults=True):
    """The owner of the queue pauses or resumes it, or drains a worker."""

    at: float
    what: Literal["pause", "resume", "drain"]
    worker: str = ""

    def told(self) -> str:
        """Returns a description for people."""
        return f"the owner drains {self.worker}" if self.worker else f"the owner {self.what}s the queue"


Item: TypeAlias = Want | Stop | Remove | Order | Trouble


class Plan(Struct):
    """The plan of one run.

    Attributes:
        seed: The seed from which it was drawn.
        setting: Its constants.
        items: All wishes and faults, in order of time.
        bad_seconds: Time at which all is healed, in seconds.
        noise: Seeds all other draws: delays, durations of jobs, reconnections. Each actor, connection and attempt
            draws from a stream of its own, so that leaving out an item changes little of the rest.
    """

    seed: int
    setting: Setting
    items: list[Item]
    bad_seconds: float = BAD_SECONDS
    noise: str = ""

    def stream(self, name: str) -> Random:
        """Returns the random numbers of one part of the run."""
        return Random(f"{self.seed} {self.noise} {name}")

    def told(self) -> str:
        """Returns a description for people."""
        lines = [f"{item.at:8.3f} s  {item.told()}" for item in self.items]
        return "\n".join([self.setting.told(), *lines, f"{self.bad_seconds:8.3f} s  all is healed"])


def draw_plan(seed: int, weights: dict[str, float] | None = None) -> Plan:
    """Draws a run.

    Args:
        seed: The same seed is the same run.
        weights: The weight of each fault; None for those of `FAULTS`. The setting and the wishes don't depend on it.
    """
    setting = _draw_setting(Random(f"{seed} setting"))
    plain = Random(f"{seed} plain")
    if plain.random() < 0.5:
        setting.plain = [name for name in list(setting.workers)[1:] if plain.random() < 0.5]
    weights = weights or {name: fault.weight for name, fault in FAULTS.items()}
    wishes = _draw_wishes(Random(f"{seed} wishes"), setting, plain)
    troubles = draw_troubles(Random(f"{seed} faults"), setting.hands, weights, BAD_SECONDS, calm=setting.calm)
    orders = _draw_orders(Random(f"{seed} orders"), setting)
    items: list[Item] = sorted([*wishes, *orders, *troubles], key=_at)
    return Plan(seed, setting, items)


def _at(item: Item) -> float:
    return item.at


def _draw_setting(random: Random) -> Setting:
    calm = random.random() < 0.3
    packed = random.random() < 0.1
    workers = {f"w{n}": random.choice([1, 2, 4]) if n else 4 for n in range(random.randint(1, 4))}
    if packed:
        workers = {f"w{n}": 8 for n in range(random.randint(3, 4))}
    clients = [f"c{n}" for n in range(random.randint(1, 4))]
    choosers = random.choice([1, 2]) if random.random() < 0.4 else 0
    habits = Random(random.random())
    choosing = {f"j{n}": random.choice([1, 2, 4]) for n in range(choosers)}
    if choosing and not packed and habits.random() < 0.4:
        # Where no job is handed out, those that choose have more to choose from.
        workers, choosing["j0"] = {}, 4
    slow = random.choice([0.002, 0.002, 0.3])
    return Setting(
        workers=workers,
        choosers=choosing,
        clients=clients,
        watching=clients[0],
        calm=calm,
        slow=slow,
        delay=random.choice([0.001, 0.02, 0.3]),
        grace=60_000 if calm else random.choice([1000, 5000, 30_000]),
        retention=random.choice([100_000, *[24 * 3_600_000] * 4]),
        finished_kept=random.choice([1, 1, 2, 1000]),
        patience=1000 if packed else habits.choice([10_000, 10_000, 1000]),
        log_bytes=habits.choice([0, 0, 600]),
        forgetful=[name for name in workers if habits.random() < 0.2],
        eager=[name for name in clients if habits.random() < 0.2],
        reading=habits.choice([slow, slow, 1.5, 1.5]),
        packed=packed,
    )


def _draw_wishes(random: Random, setting: Setting, plain: Random) -> list[Item]:
    """Draws the submits, cancels and deletes of the clients; ``plain`` chooses the jobs without an image."""
    crowded = random.random() < 0.2 or setting.packed
    total = 60 if crowded else random.randint(3, 25)
    pause = 0.2 if setting.packed else 0.4 if crowded else 2.0
    if setting.packed:
        total = 150
    known: list[Wished] = []
    wishes: list[Item] = []
    at = 0.0
    while (at := at + random.expovariate(1 / pause)) < BAD_SECONDS:
        client, draw = random.choice(setting.clients), random.random()
        if draw < 0.7 and len(known) < total:
            weights = [16, 4, 4, 0, 0] if setting.packed else [16, 4, 4, 2, 1]
            kind = random.choices(["fine", "fails", "long", "poison", "stuck"], weights)[0]
            cpus = random.choice(range(1, 9) if setting.packed else [1, 1, 1, 2, 4])
            if setting.plain and kind == "fine" and plain.random() < 0.4:
                kind, cpus = "plain", 1
            known.append(Wished(len(known) + 1, kind, cpus))
            wishes.append(_draw_want(random, at, client, known[-1]))
        elif draw < 0.8 and known:
            wishes.append(Stop(at, client, random.choice(known), random.choice(["_", "*", "a", "b"])))
        elif draw < 0.88 and known:
            gone = random.choice(known)
            tidying = random.random() < 0.5
            if tidying:  # somebody stops all at once, most of which has ended and may have left the hub's memory
                wishes += [Stop(at, client, job, "_") for job in (gone, *random.choices(known, k=3))]
            wishes.append(Remove(at, client, gone))
            if random.random() < (0.9 if tidying else 0.5):  # and starts again from nothing
                after = 0.0 if tidying else random.expovariate(1 / 0.5)
                wishes.append(_draw_want(random, at + after, client, gone))
        elif known:
            wishes.append(_draw_want(random, at, client, random.choice(known)))
    return wishes


def _draw_orders(random: Random, setting: Setting) -> list[Item]:
    """Draws what the owner does, in one of four runs."""
    orders: list[Item] = []
    if random.random() < 0.75:
        return orders
    at = 0.0
    while (at := at + random.expovariate(1 / 10)) < BAD_SECONDS:
        if random.random() < 0.3:
            orders.append(Order(at, "drain", random.choice(setting.hands)))
        else:
            orders += [Order(at, "pause"), Order(at + random.expovariate(1 / 5), "resume")]
    return orders


def _draw_want(random: Random, at: float, client: str, job: Wished) -> Want:
    return Want(
        at=at,
        client=client,
        job=job,
        namespace=random.choice(["_", "_", "a", "b"]),
        forced=random.random() < 0.1,
        any=random.random() < 0.3,
        priority=random.choice([0, 0, 0, 5]),
        queue_limit=random.choice([3000, 30_000]) if random.random() < 0.1 else 0,
        hooked=random.random() < 0.3,
    )


_decode = msgspec.json.Decoder(Plan).decode


def read_plan(data: bytes) -> Plan:
    """Reads a plan that `write_plan` wrote."""
    return _decode(data)


def write_plan(plan: Plan) -> bytes:
    """Writes a plan as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1)
