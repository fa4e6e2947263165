"""The most memory that a process had since a moment, as Linux counts it."""

from __future__ import annotations

from pathlib import Path

from bench.measure import Report, rss

MIB = 1024 * 1024


class Peak:
    """From when it is made, of this process or of another.

    What a process has once had it keeps for a while, so the first of several has to take what the later ones find.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._process = Path("/proc") / ("self" if pid is None else str(pid))
        self.before = rss(pid)
        (self._process / "clear_refs").write_text("5")  # see proc(5): the peak is from now on
        self.most = 0

    def end(self) -> Peak:
        """Until now."""
        line = next(each for each in (self._process / "status").read_text().splitlines() if each.startswith("VmHWM:"))
        self.most = int(line.split()[1]) * 1024
        return self

    def add(self, report: Report, said: str = "") -> None:
        """Adds the figure: all that the process had at most, and beside it what it had before."""
        had = f"{self.before / MIB:.0f} MiB before it began"
        report.add(f"… memory of the script at most{said}", "MiB", [self.most / MIB], had)
