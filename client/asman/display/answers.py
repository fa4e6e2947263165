"""Answers of the hub about a job, as people read them on a terminal and in notebooks."""

from __future__ import annotations

import msgspec

from asman_shared import messages as m
from asman_shared.terminal import safe_text

from . import html


class Explanation(m.Explanation, tag="explanation"):
    """Why a job is in its present state; ``sentence`` is for people, and the rest for programs."""

    def __repr__(self) -> str:
        return safe_text.sentence(f"{self.state.value}: {self.sentence}")

    def _repr_html_(self) -> str:
        return f"<div><strong>{html.text(self.state.value)}</strong>: {html.text(self.sentence)}</div>"


class Summary(m.JobSummary, tag="job_summary"):
    """One page about a job and its log."""

    def __repr__(self) -> str:
        return safe_text.sentence("\n".join(summary_lines(self)))

    def _repr_html_(self) -> str:
        return "<pre>" + "\n".join(html.text(line) for line in summary_lines(self)) + "</pre>"


def explanation(found: m.Explanation) -> Explanation:
    """Returns the answer of a hub in the form that is shown."""
    return Explanation(**msgspec.structs.asdict(found))


def summary(found: m.JobSummary) -> Summary:
    """Returns the answer of a hub in the form that is shown."""
    return Summary(**msgspec.structs.asdict(found))


def summary_lines(found: m.JobSummary) -> list[str]:
    """Formats a summary for people, as lines."""
    verdict = found.job.verdict
    code = None if verdict is None else verdict.exit_code
    facts = {
        "job": found.job.id,
        "state": found.job.state.value if verdict is None else verdict.reason.value,
        "exit code": "" if code is None else str(code),
        "message": "" if verdict is None else verdict.message,
        "hint": "" if verdict is None else verdict.hint,
        "phase": "" if found.phase is None else found.phase.value,
        "build step": found.step,
        "lines": f"{found.lines}" + (f", of which {found.missing} are no longer kept" if found.missing else ""),
    }
    text = [f"{name:>10}  {fact}" for name, fact in facts.items() if fact]
    shown = {line.seq for line in found.error}
    if found.error:
        text += ["", "first error:"]
        text += [f"{'>' if line.seq == found.error_seq else ' '} {_plain(line)}" for line in found.error]
    last = [line for line in found.last if line.seq not in shown]
    if last:
        text += ["", "last lines:", *(f"  {_plain(line)}" for line in last)]
    return text


def _plain(line: m.LogLine) -> str:
    """Returns the final text of a line; a progress bar overwrites its earlier text."""
    return line.text.rstrip("\r").rpartition("\r")[2]
