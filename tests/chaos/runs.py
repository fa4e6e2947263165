"""The attempts that really began and ended, from a shared file that the jobs themselves write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: Appends whole lines (one ``write`` each). /proc/uptime is a clock that a shell can read without another process.
SCRIPT = """
read now rest </proc/uptime
echo "start $JOB_ID $JOB_OUTPUTS $now" >>"$RUNS"
echo "began $JOB_OUTPUTS"
sleep "$NAP"
echo "$JOB_OUTPUTS" >"$JOB_OUTPUTS/who"
read now rest </proc/uptime
echo "end $JOB_ID $JOB_OUTPUTS $now" >>"$RUNS"
echo "ended $JOB_OUTPUTS"
"""


def clock() -> float:
    """Returns the time on the clock of `SCRIPT`, in seconds."""
    return float(Path("/proc/uptime").read_text().split()[0])


def attempt_of(outputs: str) -> int:
    """Returns the attempt that a job's output folder (``…/jobs/<id>-<attempt>/outputs``) belongs to."""
    return int(Path(outputs.strip()).parent.name.rpartition("-")[2])


@dataclass
class Begun:
    """One command that began.

    Attributes:
        place: The data folder of its worker.
        at: Time of its begin (`clock`).
    """

    job: str
    attempt: int
    place: Path
    at: float
    ended: float | None = None


@dataclass
class Runs:
    """Reads the attempts that really began and ended, with place and time, from the jobs' shared file.

    Each look reads the lines that are new.

    Attributes:
        by_job: The commands of each job, in order of their begin.
    """

    file: Path
    by_job: dict[str, list[Begun]] = field(default_factory=lambda: defaultdict(list))
    _read: int = 0

    def look(self) -> Runs:
        """Reads the lines that were written since the last look."""
        if not self.file.exists():
            return self
        with self.file.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            kind, job, outputs, now = line.split(" ")
            begun = Begun(job, attempt_of(outputs), Path(outputs).parents[2], float(now))
            if kind == "start":
                self.by_job[job].append(begun)
                continue
            for known in reversed(self.by_job[job]):
                if known.attempt == begun.attempt and known.place == begun.place:
                    known.ended = begun.at
                    break
        return self

    def __iter__(self) -> Iterator[Begun]:
        for some in self.by_job.values():
            yield from some

    def live(self, place: Path) -> list[Begun]:
        """Returns the attempts that run at a worker and are the newest of their jobs."""
        newest = [max(some, key=lambda begun: begun.attempt) for some in self.by_job.values() if some]
        return [begun for begun in newest if begun.place == place and begun.ended is None]

    def first_after(self, place: Path, at: float) -> float | None:
        """Returns the time when a worker first began a job after a moment."""
        return min((begun.at for begun in self if begun.place == place and begun.at > at), default=None)
