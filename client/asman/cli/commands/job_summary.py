"""``asman job summary``: one page about a job and its log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import options as o
from ..json_values import summary_value
from ..named_job import JobWords, with_job
from ..terminal import Terminal

if TYPE_CHECKING:
    from ...job import Job


def summary(words: JobWords, hub: o.HubOption = None, json: o.JsonOption = False) -> None:
    """Show a summary of a job: its phase and build step, its last lines, and the first error."""
    terminal = Terminal(json=json)

    async def work(job: Job) -> int:
        value = summary_value(await job.summary())
        if json:
            terminal.value(value)
            return 0
        for text in _as_text(value):
            terminal.result(text)
        return 0

    with_job(words, hub, work)


def _as_text(value: dict[str, Any]) -> list[str]:
    """Formats a summary for people, as lines."""
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
    text = [f"{name:>10}  {fact}" for name, fact in facts.items() if fact != ""]
    shown = {line["seq"] for line in value["error"]}
    if value["error"]:
        text += ["", "first error:"]
        text += [f"{'>' if line['seq'] == value['error_seq'] else ' '} {_plain(line)}" for line in value["error"]]
    last = [line for line in value["last"] if line["seq"] not in shown]
    if last:
        text += ["", "last lines:", *(f"  {_plain(line)}" for line in last)]
    return text


def _plain(line: dict[str, Any]) -> str:
    """Returns the final text of a line; a progress bar overwrites its earlier text."""
    return str(line["text"].rstrip("\r").rpartition("\r")[2])
