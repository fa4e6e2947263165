"""The program of an executor's job, run here as the job runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asman import calls
from asman.remote_call import PICKLE, PLAIN, run


def prepare(folder: Path, function: Callable[..., Any], arguments: list[calls.Call]) -> tuple[Path, Path]:
    inputs, outputs = folder / "in", folder / "out"
    inputs.mkdir()
    outputs.mkdir()
    (inputs / calls.FUNCTION).write_bytes(calls.pack(function))
    (inputs / calls.CALLS).write_bytes(calls.pack(arguments))
    (inputs / calls.PROGRAM).write_bytes(calls.program())
    return inputs, outputs


def outcomes(outputs: Path, trusted: bool) -> list[Any]:
    return calls.unpack((outputs / calls.result_file(trusted)).read_bytes(), trusted).outcomes


@pytest.mark.parametrize("trusted", [False, True])
def test_calls_are_made_up_to_the_first_that_raises(tmp_path: Path, trusted: bool) -> None:
    inputs, written = prepare(tmp_path, lambda x: 6 // x, [((3,), {}), ((0,), {}), ((1,), {})])
    run(str(inputs), str(written), calls.form_of(trusted))
    good, bad = outcomes(written, trusted)
    assert calls.value_of(good, trusted) == 2
    with pytest.raises(ZeroDivisionError) as caught:
        calls.value_of(bad, trusted)
    assert "ZeroDivisionError" in str(caught.value.__cause__)


def test_a_function_that_can_not_be_loaded_is_an_outcome_too(tmp_path: Path) -> None:
    inputs, written = prepare(tmp_path, len, [(("abc",), {})])
    (inputs / calls.FUNCTION).write_bytes(b"not a pickle")
    run(str(inputs), str(written), PLAIN)
    (outcome,) = outcomes(written, trusted=False)
    assert not outcome[0]
    assert "Traceback" in outcome[2]


@pytest.mark.parametrize(("version", "form"), [(calls.VERSION, PLAIN), (calls.VERSION, PICKLE), ("2.7", PLAIN)])
def test_the_zip_needs_nothing_but_a_python_of_the_same_version(tmp_path: Path, version: str, form: str) -> None:
    inputs, written = prepare(tmp_path, len, [(("abc",), {})])
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", calls.BOOT, form, version],
        env={**os.environ, "JOB_INPUTS": str(inputs), "JOB_OUTPUTS": str(written)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if version == calls.VERSION:
        assert ended.returncode == 0, ended.stderr
        (outcome,) = outcomes(written, form == PICKLE)
        assert calls.value_of(outcome, form == PICKLE) == 3
    else:
        assert ended.returncode == 1
        assert f"comes from Python 2.7, but the job's Python is {calls.VERSION}" in ended.stderr
        assert list(written.iterdir()) == []


class Point:
    """A class that is not plain."""


def test_a_value_of_another_class_is_named_with_the_remedy(tmp_path: Path) -> None:
    inputs, written = prepare(tmp_path, lambda: {"here": [Point()]}, [((), {})])
    run(str(inputs), str(written), PLAIN)
    (outcome,) = outcomes(written, trusted=False)
    with pytest.raises(calls.CallFailed, match=rf"class {__name__}\.Point, .*Executor\(trust_workers=True\)"):
        calls.value_of(outcome, trusted=False)


def test_an_exception_of_another_class_becomes_ours_with_the_remote_traceback(tmp_path: Path) -> None:
    class Odd(Exception):
        pass

    def fail() -> None:
        raise Odd("strange")

    inputs, written = prepare(tmp_path, fail, [((), {})])
    run(str(inputs), str(written), PLAIN)
    (outcome,) = outcomes(written, trusted=False)
    with pytest.raises(calls.CallFailed, match="Odd: strange") as caught:
        calls.value_of(outcome, trusted=False)
    assert "in fail" in str(caught.value.__cause__)
