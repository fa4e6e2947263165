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
from asman.remote_call import run


def prepare(folder: Path, function: Callable[..., Any], arguments: list[calls.Call]) -> tuple[Path, Path]:
    inputs, outputs = folder / "in", folder / "out"
    inputs.mkdir()
    outputs.mkdir()
    (inputs / calls.FUNCTION).write_bytes(calls.pack(function))
    (inputs / calls.CALLS).write_bytes(calls.pack(arguments))
    (inputs / calls.PROGRAM).write_bytes(calls.program())
    return inputs, outputs


def test_calls_are_made_up_to_the_first_that_raises(tmp_path: Path) -> None:
    inputs, outputs = prepare(tmp_path, lambda x: 6 // x, [((3,), {}), ((0,), {}), ((1,), {})])
    run(str(inputs), str(outputs))
    found = calls.unpack((outputs / calls.RESULT).read_bytes())
    assert len(found.outcomes) == 2
    assert calls.value_of(found.outcomes[0]) == 2
    with pytest.raises(ZeroDivisionError) as caught:
        calls.value_of(found.outcomes[1])
    assert "ZeroDivisionError" in str(caught.value.__cause__)


def test_a_function_that_can_not_be_loaded_is_an_outcome_too(tmp_path: Path) -> None:
    inputs, outputs = prepare(tmp_path, len, [(("abc",), {})])
    (inputs / calls.FUNCTION).write_bytes(b"not a pickle")
    run(str(inputs), str(outputs))
    (outcome,) = calls.unpack((outputs / calls.RESULT).read_bytes()).outcomes
    assert not outcome[0]
    assert "Traceback" in outcome[2]


@pytest.mark.parametrize("version", [calls.VERSION, "2.7"])
def test_the_zip_needs_nothing_but_a_python_of_the_same_version(tmp_path: Path, version: str) -> None:
    inputs, outputs = prepare(tmp_path, len, [(("abc",), {})])
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", calls.BOOT, version],
        env={**os.environ, "JOB_INPUTS": str(inputs), "JOB_OUTPUTS": str(outputs)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if version == calls.VERSION:
        assert ended.returncode == 0, ended.stderr
        (outcome,) = calls.unpack((outputs / calls.RESULT).read_bytes()).outcomes
        assert calls.value_of(outcome) == 3
    else:
        assert ended.returncode == 1
        assert f"comes from Python 2.7, but the job's Python is {calls.VERSION}" in ended.stderr
        assert list(outputs.iterdir()) == []
