"""The program of a job of `asman.Executor`: it calls a function and writes the outcomes.

This file is the ``__main__.py`` of a zip that is sent with each job, together with cloudpickle. It needs only Python,
as Asman is not installed in the job. The other inputs of the job hold the function and the arguments of its calls.
"""

import os
import pickle
import sys
import time
import traceback
from pathlib import Path
from typing import Any

Outcome = tuple[bool, bytes, str]
"""A call's outcome: whether it returned; its value or exception, pickled (empty if that fails); the traceback."""


def run(inputs: str, outputs: str) -> None:
    """Makes all calls, up to the first that raises, and writes ``result.pickle``."""
    import cloudpickle

    began = time.perf_counter()
    outcomes: list[Outcome] = []
    try:
        function = _load(inputs, "function.pickle")
        calls = _load(inputs, "calls.pickle")
    except Exception as error:
        outcomes.append(_raised(cloudpickle, error))
        calls = []
    for arguments, keywords in calls:
        try:
            outcomes.append((True, cloudpickle.dumps(function(*arguments, **keywords)), ""))
        except (Exception, SystemExit) as error:
            outcomes.append(_raised(cloudpickle, error))
            break
    took = time.perf_counter() - began
    sys.stdout.flush()
    sys.stderr.flush()
    with Path(outputs, "result.pickle").open("wb") as file:
        pickle.dump((took, outcomes), file)


def _load(inputs: str, name: str) -> Any:
    with Path(inputs, name).open("rb") as file:
        return pickle.load(file)  # noqa: S301 - written by the submitter, whose code the job runs anyway


def _raised(cloudpickle: Any, error: BaseException) -> Outcome:
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        return False, cloudpickle.dumps(error.with_traceback(None)), text
    except Exception:
        return False, b"", text


def main(wanted: str) -> None:
    """Checks that this Python has the minor version that pickled the function, and makes the calls."""
    here = "{}.{}".format(*sys.version_info[:2])
    if here != wanted:
        sys.exit(
            f"this function comes from Python {wanted}, but the job's Python is {here}: use the same version for both"
        )
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)
    run(os.environ["JOB_INPUTS"], os.environ["JOB_OUTPUTS"])


if __name__ == "__main__":
    main(sys.argv[1])
