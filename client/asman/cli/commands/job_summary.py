"""``asman job summary``: what there is to know of a job's log, in one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import options as o
from ..json_values import summary_value
from ..named_job import JobWords, with_job
from ..terminal import Terminal

if TYPE_CHECKING:
    from ...job import Job


def summary(words: JobWords, hub: o.HubOption = None, json: o.JsonOption = False) -> None:
    """Show how a job went or goes: its phase and build step, its last lines, and the first error."""
    terminal = Terminal(json=json)

    async def work(job: Job) -> int:
        value = summary_value(await job.summary())
        if json:
            terminal.value(value)
            return 0
        for text in _told(value):
            terminal.result(text)
        return 0

    with_job(words, hub, work)


def _told(value: dict[str, Any]) -> list[str]:
    """A summary for people."""
    state = value["job"]
    verdict, missing = state.get("verdict", {}), value["missing"]
    facts = {
        "job": state["id"],
        "state": verdict.get("reason", state["state"]),
        "exit code": verdict.get("exit_code", ""),
        "message": verdict.get("message", ""),
        "hint": verdict.get("hint", ""),
        "phase": value.get("phase", ""),
        "build step": value.get("step", ""),
        "lines": f"{value['lines']}" + (f", of which {missing} are no longer kept" if missing else ""),
    }
    told = [f"{name:>10}  {fact}" for name, fact in facts.items() if fact != ""]
    shown = {line["seq"] for line in value["error"]}
    if value["error"]:
        told += ["", "first error:"]
        told += [f"{'>' if line['seq'] == value['error_seq'] else ' '} {_plain(line)}" for line in value["error"]]
    last = [line for line in value["last"] if line["seq"] not in shown]
    if last:
        told += ["", "last lines:", *(f"  {_plain(line)}" for line in last)]
    return told


def _plain(line: dict[str, Any]) -> str:
    """The text of a line as it is seen in the end: of a progress bar, what was written last."""
    return str(line["text"].rstrip("\r").rpartition("\r")[2])
