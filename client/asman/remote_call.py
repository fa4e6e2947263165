"""The program of a job of `asman.Executor`: it calls a function and writes the outcomes.

A zip with this module, `asman.plain_values` and cloudpickle is sent with each job. They need only Python, as Asman is
not installed in the job. The other inputs of the job hold the function and the arguments of its calls.
"""

import os
import pickle
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from .plain_values import NotPlain, encode, encode_error

Outcome = tuple[bool, bytes, str]
"""A call's outcome: whether it returned; its value or exception as bytes (empty if that fails); the traceback.

A plain outcome without a traceback that did not return is one whose value is not plain; its bytes name what was found.
"""
PLAIN: Final = "plain"
"""Outcomes are written as plain values, into ``result.plain``."""
PICKLE: Final = "pickle"
"""Outcomes are pickled, into ``result.pickle``, for a client that trusts its workers."""


ALL: Final = "all"
"""All calls are made, also after one that raises."""


def run(inputs: str, outputs: str, form: str, *, whole: bool = False) -> None:
    """Makes all calls, up to the first that raises unless ``whole``, and writes the file ``result`` in a form."""
    import cloudpickle

    write: Callable[[Any], bytes] = cloudpickle.dumps if form == PICKLE else encode
    write_error: Callable[[BaseException], bytes] = cloudpickle.dumps if form == PICKLE else encode_error
    began = time.perf_counter()
    outcomes: list[Outcome] = []
    try:
        function = _load(inputs, "function.pickle")
        calls = _load(inputs, "calls.pickle")
    except Exception as error:
        outcomes.append(_raised(write_error, error))
        calls = []
    for arguments, keywords in calls:
        try:
            value = function(*arguments, **keywords)
            try:
                outcomes.append((True, write(value), ""))
            except NotPlain as found:
                outcomes.append((False, encode(str(found)), ""))
        except (Exception, SystemExit) as error:
            outcomes.append(_raised(write_error, error))
        if not (whole or outcomes[-1][0]):
            break
    took = time.perf_counter() - began
    sys.stdout.flush()
    sys.stderr.flush()
    Path(outputs, f"result.{form}").write_bytes((pickle.dumps if form == PICKLE else encode)((took, outcomes)))


def _load(inputs: str, name: str) -> Any:
    with Path(inputs, name).open("rb") as file:
        return pickle.load(file)  # noqa: S301 - written by the submitter, whose code the job runs anyway


def _raised(write: Callable[[BaseException], bytes], error: BaseException) -> Outcome:
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        return False, write(error.with_traceback(None)), text
    except Exception:
        return False, b"", text


def main(form: str, wanted: str, upto: str = "") -> None:
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
    run(os.environ["JOB_INPUTS"], os.environ["JOB_OUTPUTS"], form, whole=upto == ALL)
