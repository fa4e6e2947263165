"""Encoding of Python function calls for a job, and decoding of their results."""

from __future__ import annotations

import io
import math
import os
import pickle
import sys
import sysconfig
import threading
import zipfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any, Final

from asman_shared.errors import AsmanError

from .plain_values import NotPlain, decode, decode_error
from .remote_call import PICKLE, PLAIN, Outcome

Call = tuple[tuple[Any, ...], dict[str, Any]]

PROGRAM: Final = "asman_call.zip"
"""Input file with the program that makes the calls."""
FUNCTION: Final = "function.pickle"
"""Input file with the function."""
CALLS: Final = "calls.pickle"
"""Input file with the arguments of the calls."""
VERSION: Final = "{}.{}".format(*sys.version_info[:2])
"""Minor version of this Python, such as ``3.11``."""
BOOT: Final = f"import os,runpy;runpy.run_path(os.path.join(os.environ['JOB_INPUTS'],'{PROGRAM}'),run_name='__main__')"
"""Python code that starts the program in the job."""

_INSTALLED: Final = tuple(
    {sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
"""Folders of the standard library and of installed packages."""
_packing: Final = threading.Lock()
"""Held while modules are registered with cloudpickle, whose registry is global."""


class RemoteTraceback(Exception):
    """The traceback of an exception as the job printed it; it is the ``__cause__`` of the exception raised here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class CallFailed(AsmanError):
    """A function raised an exception that can't be recreated here, or returned a value that is not read here."""

    code = "call_failed"
    status = 422


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The outcomes of the calls of one job.

    Attributes:
        seconds: Time that the calls took together, in seconds, without the job around them.
        outcomes: One for each call, up to the first that raised.
        trusted: Whether their bytes are pickles, of workers that are trusted.
    """

    seconds: float
    outcomes: list[Outcome]
    trusted: bool


def pack(value: Any) -> bytes:
    """Pickles a function or the arguments of calls.

    Definitions from the program's own modules are included; those of installed packages are referenced by name.

    Raises:
        Exception: It can't be pickled.
    """
    import cloudpickle

    with _packing:
        found: list[object] = [
            module for name, module in list(sys.modules.items()) if "." not in name and _is_own(name)
        ]
        # A module with two names (multiprocessing has `__mp_main__`) is registered once. Modules that the program
        # registered itself are left alone.
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
    """Checks that a module is the program's own, that is, not from the standard library or an installed package."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None or (not spec.has_location and spec.submodule_search_locations is None):
        return False
    places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations)
    return bool(places) and not any(place and place.startswith(_INSTALLED) for place in places)


def form_of(trusted: bool) -> str:
    """Names the form of a job's outcomes, for its program."""
    return PICKLE if trusted else PLAIN


def result_file(trusted: bool) -> str:
    """Names the output file with the outcomes of a job's calls."""
    return f"result.{form_of(trusted)}"


def unpack(data: bytes, trusted: bool) -> Outcomes:
    """Decodes the outcomes that a job wrote.

    Args:
        data: The bytes of `result_file`.
        trusted: Whether to unpickle, which can run code of the worker. Otherwise only plain values are read.

    Raises:
        CallFailed: They are not what a job writes.
        Exception: They can't be unpickled.
    """
    if trusted:
        seconds, outcomes = pickle.loads(data)  # noqa: S301 - the caller trusts the workers
        return Outcomes(seconds, outcomes, trusted)
    try:
        found = decode(data)
    except NotPlain as error:
        raise _unreadable(error) from None
    if not _are_outcomes(found):
        raise _unreadable("something else than outcomes")
    seconds, outcomes = found
    return Outcomes(seconds, outcomes, trusted)


def _are_outcomes(found: Any) -> bool:
    if type(found) is not tuple or [type(part) for part in found] != [float, list]:
        return False
    seconds, outcomes = found
    shaped = (type(each) is tuple and [type(part) for part in each] == [bool, bytes, str] for each in outcomes)
    return math.isfinite(seconds) and bool(outcomes) and all(shaped)


def _unreadable(found: object) -> CallFailed:
    return CallFailed(f"the job's result has {found}: its worker or image changed what the function's program wrote")


def value_of(outcome: Outcome, trusted: bool) -> Any:
    """Returns the value that a call returned.

    Raises:
        CallFailed: The value is of a class that is not read from workers that are not trusted.
        BaseException: The exception that the call raised, caused by a `RemoteTraceback`.
    """
    ok, data, text = outcome
    if ok and trusted:
        return pickle.loads(data)  # noqa: S301 - the caller trusts the workers
    if ok or not (text or trusted):
        try:
            value = decode(data)
        except NotPlain as error:
            raise _unreadable(error) from None
        if ok:
            return value
        if type(value) is not str:
            raise _unreadable("something else than a name")
        raise CallFailed(
            f"the function returned {value}, and only plain values are read from workers: return numbers, text, bytes, "
            "lists, dicts and the like, or, if you trust all workers of the queue, use Executor(trust_workers=True)"
        )
    raise error_of(data, text, trusted) from RemoteTraceback(text)


def error_of(data: bytes, text: str, trusted: bool) -> BaseException:
    """Recreates the exception that a call raised, or makes a `CallFailed` that describes it."""
    try:
        if data and not trusted:
            return decode_error(data)
        error = pickle.loads(data) if data else None  # noqa: S301 - the caller trusts the workers
    except Exception:
        error = None
    if isinstance(error, BaseException):
        return error
    last = text.strip().rpartition("\n")[2]
    return CallFailed(f"the function raised an exception that can't be recreated here: {last}")


@cache
def program() -> bytes:
    """Builds the program of the job: `asman.remote_call` and what it needs, so that an image needs only Python."""
    from . import plain_values, remote_call

    spec = find_spec("cloudpickle")
    if spec is None or not spec.submodule_search_locations:
        raise AsmanError("the package cloudpickle is not installed here")
    files = {f"cloudpickle/{file.name}": file for file in Path(spec.submodule_search_locations[0]).glob("*.py")}
    sources = {name: file.read_bytes() for name, file in files.items()}
    sources["__main__.py"] = b"import sys\n\nfrom asman_call.remote_call import main\n\nmain(*sys.argv[1:])\n"
    sources["asman_call/__init__.py"] = b""
    sources["asman_call/remote_call.py"] = Path(remote_call.__file__).read_bytes()
    sources["asman_call/plain_values.py"] = Path(plain_values.__file__).read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(sources):
            archive.writestr(zipfile.ZipInfo(name), sources[name])  # with a constant date
    return packed.getvalue()


class Pace:
    """The number of calls to put into one job, so that a job has about a second of work.

    It starts at 1 and follows the median of the times measured last, so that a few calls that the machine kept waiting
    do not cut the rest into hundreds of small jobs. A step grows it by a limited factor, so that one quick call among
    slow ones does not make a job that takes hours.

    Args:
        fixed: A fixed number of calls; 0 to measure.

    Attributes:
        known: Whether the number has settled; until then only a few jobs should be submitted.
    """

    TARGET = 1.0
    """Work in one job, in seconds."""
    MOST = 1000
    """Maximum number of calls in one job."""
    FACTOR = 8
    """Maximum growth from one measurement to the next."""
    MEASURED = 9
    """Number of jobs whose times count."""
    NEEDED = 3
    """Number of jobs to measure before the number can have settled."""

    def __init__(self, fixed: int = 0) -> None:
        self._fixed = fixed
        self._size = 1
        self._times: deque[float] = deque(maxlen=self.MEASURED)
        self.known = fixed > 0

    @property
    def size(self) -> int:
        """Number of calls for the next job."""
        return self._fixed or self._size

    def took(self, seconds: float, calls: Sequence[Outcome]) -> None:
        """Records the time that a job took for its calls, in seconds."""
        self._times.append(seconds / max(1, len(calls)))
        each = median(self._times)
        fits = self.MOST if each <= 0 else int(self.TARGET / each)
        best = max(1, min(fits, self.MOST))
        self._size = min(best, self._size * self.FACTOR)
        self.known = self.known or (self._size == best and len(self._times) >= self.NEEDED)
