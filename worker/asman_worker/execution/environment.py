"""The environment variables of a job's process, and the paths of its folders in a container."""

from __future__ import annotations

from typing import Final

from asman_shared import definition_check

from .interface import AttemptSpec

INPUTS: Final = definition_check.INPUTS
"""Path of a job's inputs in its container."""
OUTPUTS: Final = definition_check.OUTPUTS
"""Path of its outputs."""
CACHE: Final = definition_check.CACHE
"""Path of the folder that jobs of its queue share."""


def job_environment(spec: AttemptSpec, inputs: str, outputs: str, cache: str) -> dict[str, str]:
    """Returns the environment of the process: the job's own variables, then those that locate its files and URLs.

    A job with volumes has no folder of outputs besides them.
    """
    made = {
        **(spec.definition.env or {}),
        "JOB_ID": spec.job,
        "JOB_INPUTS": inputs,
        "JOB_OUTPUTS": outputs,
        "JOB_CACHE": cache,
        "JOB_URL_PREFIX": spec.url,
        "JOB_INPUTS_URL_PREFIX": f"{spec.url}/inputs/",
        "JOB_OUTPUTS_URL_PREFIX": f"{spec.url}/outputs/",
    }
    if spec.definition.volumes:
        del made["JOB_OUTPUTS"]
    return made
