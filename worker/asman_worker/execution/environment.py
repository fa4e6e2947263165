"""The environment of a job's process, and where its inputs are."""

from __future__ import annotations

from typing import Final

from .interface import AttemptSpec

INPUTS: Final = "/inputs"


def job_environment(spec: AttemptSpec, inputs: str, outputs: str, cache: str) -> dict[str, str]:
    """The environment of the process: the job's own, then where it finds things."""
    return {
        **(spec.definition.env or {}),
        "JOB_ID": spec.job,
        "JOB_INPUTS": inputs,
        "JOB_OUTPUTS": outputs,
        "JOB_CACHE": cache,
        "JOB_URL_PREFIX": spec.url,
        "JOB_INPUTS_URL_PREFIX": f"{spec.url}/inputs/",
        "JOB_OUTPUTS_URL_PREFIX": f"{spec.url}/outputs/",
    }
