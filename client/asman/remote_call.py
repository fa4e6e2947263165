"""What runs in a job of `asman.Executor`: calls a function and writes down what came of it.

This file is the ``__main__.py`` of a zip that is sent along with each job, beside cloudpickle; it needs nothing but
Python: Asman is not there. The job's other inputs hold the function and the arguments of its calls.
"""

import os
import pickle
import sys
import time
import traceback
from pathlib import Path
from typing import Any

Outcome = tuple[bool, bytes, str]
"""Whether a call returned; what it returned or raised, pickled (empty when that can't be done); the traceback."""


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
        return pickle.load(file)  # noqa: S301 - made by who submitted the job, which runs what that person says anyway


def _raised(cloudpickle: Any, error: BaseException) -> Outcome:
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        return False, cloudpickle.dumps(error.with_traceback(None)), text
    except Exception:
        return False, b"", text


def main(wanted: str) -> None:
    """Checks that this Python reads what that one wrote, which takes the same minor version, and runs."""
    here = "{}.{}".format(*sys.version_info[:2])
    if here != wanted:
        sys.exit(
            f"this function comes from Python {wanted}, and the Python of this job is {here}: use the same version"
        )
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)
    run(os.environ["JOB_INPUTS"], os.environ["JOB_OUTPUTS"])


if __name__ == "__main__":
    main(sys.argv[1])
