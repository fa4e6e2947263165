"""Calls of Python functions on their way to a job and back."""

from __future__ import annotations

import io
import os
import pickle
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from asman_shared.errors import AsmanError

from .remote_call import Outcome

Call = tuple[tuple[Any, ...], dict[str, Any]]

RESULT: Final = "result.pickle"
PROGRAM: Final = "asman_call.zip"
FUNCTION: Final = "function.pickle"
CALLS: Final = "calls.pickle"
VERSION: Final = "{}.{}".format(*sys.version_info[:2])
BOOT: Final = f"import os,runpy;runpy.run_path(os.path.join(os.environ['JOB_INPUTS'],'{PROGRAM}'),run_name='__main__')"


_INSTALLED: Final = tuple(
    {sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_packing: Final = threading.Lock()


class RemoteTraceback(Exception):
    """The traceback of an exception, where it was raised; it is the ``__cause__`` of the exception here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class CallFailed(AsmanError):
    """A function raised an exception that can't be brought here; the sentence is its last line."""

    code = "call_failed"
    status = 422


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What came of the calls of one job.

    Attributes:
        seconds: That they took together, without the job around them.
        outcomes: Of each call, up to the first that raised.
    """

    seconds: float
    outcomes: list[Outcome]


def pack(value: Any) -> bytes:
    """A function, or the arguments of calls, as bytes.

    What is defined in a program's own modules goes along whole; what is in an installed package is only named.

    Raises:
        Exception: It can't be pickled.
    """
    import cloudpickle

    with _packing:
        found: list[object] = [
            module for name, module in list(sys.modules.items()) if "." not in name and _is_own(name)
        ]
        # Each once, though one may go by two names (multiprocessing has `__mp_main__`), and not what the program
        # has registered by itself.
        known = cloudpickle.list_registry_pickle_by_value()
        modules = {module.__name__: module for module in found if isinstance(module, ModuleType)}
        own = {name: module for name, module in modules.items() if name in sys.modules and name not in known}
        for module in own.values():
            cloudpickle.register_pickle_by_value(module)
        try:
            return bytes(cloudpickle.dumps(value, protocol=pickle.DEFAULT_PROTOCOL))
        finally:
            for module in own.values():
                cloudpickle.unregister_pickle_by_value(module)


@cache
def _is_own(name: str) -> bool:
    """Whether a module is the program's own: neither Python's nor installed."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None or (not spec.has_location and spec.submodule_search_locations is None):
        return False
    places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations)
    return bool(places) and not any(place and place.startswith(_INSTALLED) for place in places)


def unpack(data: bytes) -> Outcomes:
    """What a job wrote.

    Raises:
        Exception: It can't be read.
    """
    seconds, outcomes = pickle.loads(data)  # noqa: S301 - see docs/python.md: who uses a queue trusts its workers
    return Outcomes(seconds, outcomes)


def value_of(outcome: Outcome) -> Any:
    """What a call returned.

    Raises:
        BaseException: What it raised, caused by a `RemoteTraceback`.
    """
    ok, data, text = outcome
    if ok:
        return pickle.loads(data)  # noqa: S301
    raise error_of(data, text) from RemoteTraceback(text)


def error_of(data: bytes, text: str) -> BaseException:
    """What a call raised, or a `CallFailed` that says it."""
    try:
        error = pickle.loads(data) if data else None  # noqa: S301
    except Exception:
        error = None
    if isinstance(error, BaseException):
        return error
    last = text.strip().rpartition("\n")[2]
    return CallFailed(f"the function raised an exception that can't be brought here: {last}")


@cache
def program() -> bytes:
    """What the job runs: `asman.remote_call` and our cloudpickle, so that an image needs nothing but Python."""
    from . import remote_call

    spec = find_spec("cloudpickle")
    if spec is None or not spec.submodule_search_locations:
        raise AsmanError("the package cloudpickle is not installed here")
    files = {f"cloudpickle/{file.name}": file for file in Path(spec.submodule_search_locations[0]).glob("*.py")}
    files["__main__.py"] = Path(remote_call.__file__)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name].read_bytes())  # always of the same date
    return packed.getvalue()


class Pace:
    """How many calls go into one job, so that a job has about a second of work.

    It begins with one and grows by what was measured, by some factor at most, so that one quick call among slow ones
    makes no job of hours.

    Args:
        fixed: So many, whatever is measured; 0 for by measure.

    Attributes:
        known: Whether it has grown to what fits; until then few jobs are worth submitting.
    """

    TARGET = 1.0
    MOST = 1000
    FACTOR = 8

    def __init__(self, fixed: int = 0) -> None:
        self._fixed = fixed
        self._size = 1
        self.known = fixed > 0

    @property
    def size(self) -> int:
        """For the next job."""
        return self._fixed or self._size

    def took(self, seconds: float, calls: Sequence[Outcome]) -> None:
        """A job took so long for its calls."""
        each = seconds / max(1, len(calls))
        fits = self.MOST if each <= 0 else int(self.TARGET / each)
        best = max(1, min(fits, self.MOST))
        self._size = min(best, self._size * self.FACTOR)
        self.known = self.known or self._size == best
