"""Encoding of functions and their calls."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import pytest

from asman import calls
from asman.plain_values import encode, encode_error
from asman.remote_call import Outcome

PROGRAM = """
import sys
from asman import calls

def square(number):
    return number * number

if {twice}:
    sys.modules["__mp_main__"] = sys.modules["__main__"]  # as multiprocessing has it
sys.stdout.buffer.write(calls.pack(square))
"""


@pytest.mark.parametrize("twice", [False, True])
def test_a_function_of_the_program_goes_along_whole_though_its_module_has_two_names(
    tmp_path: Path, twice: bool
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(twice=twice))
    # Only a module that was found by its name is known to be one of the program's own.
    command = [sys.executable, "-m", "program"]
    packed = subprocess.run(command, check=True, capture_output=True, cwd=tmp_path).stdout
    assert pickle.loads(packed)(12) == 144


def test_what_the_program_has_registered_itself_stays_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registered_module.py").write_text("def half(number):\n    return number / 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("registered_module")
    cloudpickle.register_pickle_by_value(module)
    try:
        calls.pack(module.half)
        assert module.__name__ in cloudpickle.list_registry_pickle_by_value()
    finally:
        cloudpickle.unregister_pickle_by_value(module)
        del sys.modules["registered_module"]


def test_what_only_looks_like_a_module_is_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    class Looks:
        __spec__ = sys.modules[__name__].__spec__
        __name__ = "looks"

    monkeypatch.setitem(sys.modules, "looks", Looks())
    assert calls.pack(len)


ran: list[str] = []
"""Notes of `note`."""


def note(text: str) -> None:
    ran.append(text)


class Flagged:
    """An object whose unpickling leaves a note."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return note, ("unpickled",)


def test_a_pickle_is_not_read_unless_workers_are_trusted() -> None:
    ran.clear()
    value = pickle.dumps(Flagged())
    with pytest.raises(calls.CallFailed, match="its worker or image changed"):
        calls.unpack(value, trusted=False)
    with pytest.raises(calls.CallFailed, match="its worker or image changed"):
        calls.value_of((True, value, ""), trusted=False)
    assert isinstance(calls.error_of(value, "Traceback\nOdd: strange", trusted=False), calls.CallFailed)
    assert ran == []
    calls.value_of((True, value, ""), trusted=True)
    assert ran == ["unpickled"]


@pytest.mark.parametrize(
    "found",
    [
        None,
        (1.0, []),
        (1, [(True, b"", "")]),
        (float("nan"), [(True, b"", "")]),
        (1.0, [(True, b"")]),
        (1.0, [[True, b"", ""]]),
        (1.0, [(1, b"", "")]),
        (1.0, [(True, "", "")]),
    ],
)
def test_what_is_no_list_of_outcomes_is_refused(found: object) -> None:
    with pytest.raises(calls.CallFailed, match="something else than outcomes"):
        calls.unpack(encode(found), trusted=False)


def test_a_value_in_the_place_of_a_name_is_refused() -> None:
    with pytest.raises(calls.CallFailed, match="something else than a name"):
        calls.value_of((False, encode([1]), ""), trusted=False)


def test_a_built_in_exception_comes_back() -> None:
    error = calls.error_of(encode_error(KeyError("a", 2)), "text", trusted=False)
    assert type(error) is KeyError
    assert error.args == ("a", 2)


SUCCESS: list[Outcome] = [(True, b"", "")]
"""The outcome of one call."""


def paced(*times: float) -> calls.Pace:
    """A pace after jobs whose calls took these times each, in seconds."""
    pace = calls.Pace()
    for each in times:
        pace.took(each * pace.size, SUCCESS * pace.size)
    return pace


def test_a_job_gets_about_a_second_of_calls() -> None:
    assert paced(0.01, 0.01, 0.01, 0.01).size == 100
    assert paced(3.0, 3.0, 3.0).size == 1


def test_a_call_that_the_machine_kept_waiting_does_not_make_jobs_small() -> None:
    assert paced(0.5).size == 2
    assert not paced(0.5).known, "one slow call is no reason to submit hundreds of small jobs"
    assert paced(0.5, 0.001, 0.001, 0.001, 0.001).size == 1000
    assert paced(0.001, 0.001, 0.001, 0.001, 0.5).size == 1000


def test_a_quick_call_among_slow_ones_does_not_make_a_job_of_hours() -> None:
    assert paced(0.0001).size == calls.Pace.FACTOR
    assert paced(2.0, 2.0, 0.0001).size == 1


def test_calls_that_become_slow_get_jobs_of_their_own() -> None:
    assert paced(*[0.001] * 9, *[2.0] * 5).size == 1


def test_a_fixed_number_of_calls_stays() -> None:
    pace = calls.Pace(7)
    assert pace.known
    pace.took(70.0, SUCCESS * 7)
    assert pace.size == 7
