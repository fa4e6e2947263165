"""The end of a container, whoever runs it: the first limit that it exceeds, and what its end means for the job."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Literal

from asman_shared.units import format_duration, format_size

from .disk_use import Excess
from .interface import Ended

_KILLED: Final = 137
"""Exit code of a container whose command was killed."""


@dataclass(slots=True)
class End:
    """The end of a container, as those who followed it saw it.

    Attributes:
        exit_code: Exit code of its process.
        timed_out: A sentence, if it reached its time limit.
        out_of_memory: Whether memory ran out in it.
        outgrown: The reason why it was stopped for what it wrote to the disk.
        error: Words about a failed start.
        interrupted: True if it ended with what runs it, and not by itself.
    """

    exit_code: int = 0
    timed_out: str = ""
    out_of_memory: bool = False
    outgrown: Excess | None = None
    error: str = ""
    interrupted: bool = False

    def result(self, memory: int, digest: str, origin: str = "") -> Ended:
        """Returns what the end means for the job.

        Args:
            memory: The memory that the container might have, in bytes; 0 for no limit.
            digest: Digest of its image.
            origin: Source of its image, if it was built.
        """

        def ended(kind: Literal["exited", "timed_out", "out_of_memory"], message: str = "") -> Ended:
            return Ended(kind, self.exit_code, message, digest, origin)

        if self.timed_out:
            return ended("timed_out", self.timed_out)
        if not self.out_of_memory:
            return ended("exited")
        may = f"the {format_size(memory)} that it may have" if memory else "it may have"
        short_of_memory = f"it needed more memory than {may}"
        if self.exit_code == _KILLED:
            return ended("out_of_memory", short_of_memory)  # the hub adds to this end what to ask for
        # A process of the job was killed, and the command went on and chose an exit code of its own.
        remedy = "ask for more in requirements.memory"
        return ended("exited", f"a process of the job was killed, because {short_of_memory}; {remedy}")


def out_of_time(limit: int, grace: int, *, politely: bool) -> str:
    """Returns the sentence about a job that reached its time limit.

    Args:
        limit: Its time limit, in milliseconds.
        grace: Time between SIGTERM and SIGKILL, in milliseconds.
        politely: Whether SIGTERM was enough.
    """
    more = "" if politely else f", and it ignored SIGTERM for {format_duration(grace)}"
    return f"stopped: running took longer than its limit of {format_duration(limit)}{more}"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a running container.

    Attributes:
        time: Longest run time, in milliseconds; 0 for no limit.
        spent: Time that is gone of it when the container starts, in milliseconds.
        grace: Time between SIGTERM and SIGKILL, in milliseconds.
        watch: Watches what it writes to the disk, and returns once it must stop.
    """

    time: int
    spent: int
    grace: int
    watch: Callable[[], Coroutine[Any, Any, Excess]]

    async def hold(
        self, end: End, over: Coroutine[Any, Any, None], stop: Callable[[int], Awaitable[bool]], age: float
    ) -> None:
        """Waits for the end of a container; stops it at the first limit that it exceeds, and notes that limit.

        Args:
            end: Receives the limit.
            over: Returns when the container has ended.
            stop: Sends SIGTERM, and SIGKILL after a time in milliseconds; returns whether SIGTERM was enough.
            age: Time since the container was started, in seconds.
        """
        left = max(0.001, (self.time - self.spent) / 1000 - age) if self.time else None
        ending = asyncio.create_task(over, name="container")
        watching = asyncio.create_task(self.watch(), name="disk")
        try:
            done, _ = await asyncio.wait((ending, watching), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if ending in done:
                ending.result()
            elif done:
                end.outgrown = watching.result()
                await stop(0)
            else:
                end.timed_out = out_of_time(self.time, self.grace, politely=await stop(self.grace))
        finally:
            ending.cancel()
            watching.cancel()
            await asyncio.gather(ending, watching, return_exceptions=True)


@contextlib.asynccontextmanager
async def removed_on_failure(remove: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Kills and removes a container when the block is cancelled or fails."""
    try:
        yield
    except BaseException as error:
        await remove()
        if isinstance(error, BaseExceptionGroup):
            raise error.exceptions[0] from error
        raise
