"""The faults of the simulation, by name, with the weight, duration, begin and end of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from tests.simulation.world import World

SHARE = 0.5
"""Share of the connections that a connection fault hits."""


class Trouble(Struct, tag="trouble", omit_defaults=True):
    """One fault of a run.

    Attributes:
        at: Time of its begin, in seconds.
        fault: Its name in `FAULTS`.
        seconds: Its duration, in seconds; 0 if it is over at once.
        who: The worker that it hits, if it hits one.
        draw: Seed for the choice of connections, if it hits some.
    """

    at: float
    fault: str
    seconds: float = 0.0
    who: str = ""
    draw: int = 0

    def told(self) -> str:
        """Returns a description for people."""
        what = FAULTS[self.fault].told.replace("WHO", self.who)
        return what + (f", for {self.seconds:.1f} s" if self.seconds else "")


class Fault(NamedTuple):
    """One kind of fault.

    Attributes:
        weight: Its probability, relative to the other faults.
        told: Its description for people.
        begin: Begins the fault.
        end: Ends the fault.
        lasts: Draws its duration, in seconds.
        calm: Whether it may happen in a calm world, in which no worker is ever lost.
        one: Whether it hits one worker.
    """

    weight: float
    told: str
    begin: Callable[[World, Trouble], None]
    end: Callable[[World], None] | None = None
    lasts: Callable[[Random], float] | None = None
    calm: bool = True
    one: bool = False


def _a_while(random: Random) -> float:
    return random.choice([0.5, 5, 20])


def _long(random: Random) -> float:
    return random.choice([5, 20, 20])


def _a_restart(random: Random) -> float:
    """Often short; sometimes so long that jobs end meanwhile, and all is told at once afterwards."""
    return random.choice([random.expovariate(1 / 3.0), 12.0])


def _cut(world: World, trouble: Trouble) -> None:
    for connection in world.host.some(SHARE, trouble.draw):
        connection.sever()


def _stall(world: World, trouble: Trouble) -> None:
    for connection in world.host.some(SHARE, trouble.draw):
        connection.stall(True)


def _flow(world: World) -> None:
    for connection in world.host.some(1, 0):
        connection.stall(False)


def _die(world: World, trouble: Trouble) -> None:
    for worker in world.hands:
        if worker.name == trouble.who:
            worker.die()


def _come_back(world: World, trouble: Trouble) -> None:
    for worker in world.hands:
        if worker.name == trouble.who:
            worker.come_back()


def _kill(world: World, _trouble: Trouble) -> None:
    world.host.kill()


def _lose_task(world: World, trouble: Trouble) -> None:
    world.host.lose_task(trouble.draw)


def _start(world: World) -> None:
    world.host.start()


def _database_away(world: World, _trouble: Trouble) -> None:
    world.database.away = True


def _database_back(world: World) -> None:
    world.database.away = False


def _refuse_rows(world: World, trouble: Trouble) -> None:
    world.database.refusing = trouble.draw


def _refuse_none(world: World) -> None:
    world.database.refusing = None


def _outage(world: World, trouble: Trouble) -> None:
    """Begins an outage: the database goes away, and then all connections break; `_outage_over` restarts the hub."""
    world.database.away = True
    asyncio.get_running_loop().call_later(trouble.seconds / 2, _cut_all, world)


def _cut_all(world: World) -> None:
    for connection in world.host.some(1, 0):
        connection.sever()


def _outage_over(world: World) -> None:
    world.host.kill()
    world.database.away = False
    world.host.start()


FAULTS: Final[dict[str, Fault]] = {
    "cut": Fault(5, "half of the connections are cut", _cut),
    "stall": Fault(4, "half of the connections are silent", _stall, _flow, _a_while, calm=False),
    "die": Fault(4, "worker WHO is killed", _die, calm=False, one=True),
    "kill": Fault(4, "the hub is killed", _kill, _start, _a_restart),
    "database": Fault(3, "the database is away", _database_away, _database_back, _a_while),
    "outage": Fault(
        3, "the database is away, all connections are cut, the hub is killed", _outage, _outage_over, _long
    ),
    "return": Fault(8, "worker WHO is killed and connects again, unnoticed", _come_back, calm=False, one=True),
    "row": Fault(2, "the database refuses some rows", _refuse_rows, _refuse_none, _a_while),
    "task": Fault(1, "one of the hub's own tasks fails, and so the hub is started again", _lose_task),
}
"""The faults in the bad time of a run. Only one fault lasts at a time, so ``end`` may undo it for all."""


class UnknownFaultError(ValueError):
    """Raised for a name or weight that the simulation can't use."""


def _known(name: str) -> str:
    if name not in FAULTS:
        raise UnknownFaultError(f"there is no fault {name!r}; the faults are {', '.join(FAULTS)}")
    return name


def weights_of(faults: str | None, changes: Sequence[str]) -> dict[str, float]:
    """Returns the weight of each fault.

    Args:
        faults: Names with commas between them; None for all. The others get the weight 0.
        changes: ``NAME=WEIGHT``, applied after that.

    Raises:
        UnknownFaultError: A name is unknown, or a weight is not a number from 0 on.
    """
    wanted = [_known(name.strip()) for name in faults.split(",")] if faults is not None else list(FAULTS)
    weights = {name: fault.weight if name in wanted else 0.0 for name, fault in FAULTS.items()}
    for change in changes:
        name, _, number = change.partition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = -1.0
        if not 0 <= weight < float("inf"):
            raise UnknownFaultError(f"{change!r} is not NAME=WEIGHT with a weight from 0 on")
        weights[_known(name)] = weight
    return weights


def draw_troubles(
    random: Random, hands: Sequence[str], weights: dict[str, float], until: float, *, calm: bool
) -> list[Trouble]:
    """Draws the faults of a run; the next one begins a while after the last one is over."""
    troubles: list[Trouble] = []
    names = list(FAULTS)
    chances = [weights[name] for name in names]
    at = random.expovariate(1 / 6.0)
    while at < until and any(chances):
        name = random.choices(names, chances)[0]
        fault, who, draw = FAULTS[name], random.choice(hands), random.getrandbits(32)
        seconds = 0.0
        if fault.calm or not calm:
            seconds = fault.lasts(random) if fault.lasts is not None else 0.0
            troubles.append(Trouble(at, name, seconds, who if fault.one else "", draw))
        at += seconds + random.expovariate(1 / 6.0)
    return troubles
