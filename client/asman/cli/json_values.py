"""What ``--json`` writes: the messages' own names and units (epoch milliseconds, bytes)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asman_shared.messages import JobState, JobSummary

    from ..job import Job
    from ..logs import Line
    from ..outputs import JobResult


def state_value(state: JobState) -> dict[str, Any]:
    """A job's state."""
    import msgspec

    value: dict[str, Any] = msgspec.to_builtins(state)
    return value


def job_value(job: Job, result: JobResult | None = None) -> dict[str, Any]:
    """A job with its URL, what submitting it did, its state, and its result when it has one."""
    import msgspec

    value = {**state_value(job.state), "url": job.url}
    if job.answer:
        value |= {"answer": job.answer, "able": job.able, "why": job.why}
    if job.verdict is not None:
        value["verdict"] = msgspec.to_builtins(job.verdict)
    if result is not None:
        value["outputs"] = outputs_value(job, result)
        value["skipped"] = result.skipped
        value["phases"] = msgspec.to_builtins(result.phases)
        value["image_digest"] = result.image_digest
    return value


def outputs_value(job: Job, result: JobResult) -> dict[str, Any]:
    """A job's outputs by name."""
    from urllib.parse import quote

    return {
        name: {
            "size": output.size,
            "sha256": output.sha256,
            "media_type": output.media_type,
            "url": f"{job.url}/outputs/{quote(name)}",
        }
        for name, output in result.outputs.items()
    }


def line_value(line: Line) -> dict[str, Any]:
    """A line of a log."""
    value = {
        "seq": line.seq,
        "time": line.time,
        "stream": line.stream,
        "text": line.text,
        "phase": line.phase,
    }
    return value | {"missing": line.missing} if line.missing else value


def summary_value(summary: JobSummary) -> dict[str, Any]:
    """How a job went."""
    import msgspec

    from ..logs import line_of

    value: dict[str, Any] = msgspec.to_builtins(summary)
    for name in ("type", "ref"):
        value.pop(name, None)
    lines = {name: [line_value(line_of(line)) for line in getattr(summary, name)] for name in ("last", "error")}
    return {**value, **lines, "lines": summary.lines, "missing": summary.missing}
