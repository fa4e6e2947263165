"""Every error that Asman raises, answers or closes a connection with.

One tree::

    AsmanError
    ├── BadRequest        the message or its fields are wrong; trying again won't help
    │   ├── BadDefinition     … in the job definition (``field`` names where)
    │   ├── BadUnit           a size or duration that is unclear
    │   └── TooLarge          over one of the limits
    ├── NotFound          no such job, blob, queue or output
    ├── Forbidden         a wrong or expired signature, a right that is missing
    ├── Conflict          it can't be done in the present state
    ├── Unavailable       the hub can't do it now; try again
    │   └── Overloaded        … because a bound is reached
    ├── Misconfigured     the hub is set up wrongly; only its operator can help
    ├── QuotaExceeded     there is no room for these bytes
    ├── ProtocolError     the other side does not speak our protocol
    ├── ConnectionFailed  the hub can't be reached
    ├── TimedOut          a deadline that the caller set has passed
    ├── TooSlow           the body of a request arrives too slowly
    ├── Unauthentic       bytes that are not what their name (sha256) says
    └── ExecutionError    a job could not be run (worker side; carries whose fault)

Each class has its code (on the wire and in REST), its HTTP status, and whether trying the same thing again can help.
``docs/errors.md`` is the same table for readers.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import ClassVar, Final

SENTENCE_LENGTH: Final = 500
"""Number of characters that are kept of a sentence that quotes what was sent."""
_PLACE: Final = r"(?s)(?P<says>.*?)(?: - at `(?:key` in `)?\$(?P<path>[^`]*)`)?"


class AsmanError(Exception):
    """Base of all errors of Asman.

    Args:
        message: One sentence for a person: the problem, its place, and the remedy.
        field: The field of the request at fault, as a path (``definition.requirements.memory``).
        retry_after: Time after which trying again may help, in seconds, where it is known.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retry: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after = retry_after


class BadRequest(AsmanError):
    """The request is wrong; sending it again won't help."""

    code = "bad_request"
    status = 400


class BadDefinition(BadRequest):
    """The job definition is wrong."""

    code = "bad_definition"


class BadUnit(BadRequest):
    """A size or a duration can't be read without guessing."""

    code = "bad_unit"


class TooLarge(BadRequest):
    """Something is over its limit."""

    code = "too_large"
    status = 413


class NotFound(AsmanError):
    """There is no such thing."""

    code = "not_found"
    status = 404


class Forbidden(AsmanError):
    """The signature, key or right does not allow it."""

    code = "forbidden"
    status = 403


class Conflict(AsmanError):
    """It can't be done in the present state of the job."""

    code = "conflict"
    status = 409


class Unavailable(AsmanError):
    """The hub can't do it now; nothing was done, and trying again helps."""

    code = "unavailable"
    status = 503
    retry = True


class Overloaded(Unavailable):
    """A bound of the hub is reached; try again later."""

    code = "overloaded"
    status = 429


class Misconfigured(AsmanError):
    """The hub, or the storage behind it, is set up so that it can't do this; only its operator can help."""

    code = "misconfigured"
    status = 500


class QuotaExceeded(AsmanError):
    """There is no room for these bytes: the hub's quota or its disk is full."""

    code = "quota_exceeded"
    status = 507


class ProtocolError(AsmanError):
    """The other side does not speak our protocol."""

    code = "protocol"
    status = 400


class ConnectionFailed(AsmanError):
    """The hub can't be reached."""

    code = "connection_failed"
    status = 502
    retry = True


class TimedOut(AsmanError):
    """A deadline that the caller set has passed."""

    code = "timed_out"
    status = 504
    retry = True


class TooSlow(AsmanError):
    """The body of a request stalls or arrives too slowly."""

    code = "too_slow"
    status = 408
    retry = True


class Unauthentic(AsmanError):
    """The bytes are not what their name, a sha256, says."""

    code = "wrong_bytes"
    status = 422


class ExecutionError(AsmanError):
    """A job could not be run.

    Args:
        message: What happened, for the person who submitted the job.
        fault: The part at fault: ``job`` (the definition or its inputs), ``worker`` or ``hub``.
    """

    code = "execution"

    def __init__(self, message: str, *, fault: str = "job") -> None:
        super().__init__(message)
        self.fault = fault


def _subclasses(cls: type[AsmanError]) -> list[type[AsmanError]]:
    found = [cls]
    for sub in cls.__subclasses__():
        found.extend(_subclasses(sub))
    return found


#: Every error code with its class, the table behind ``docs/errors.md``.
ERROR_CODES: dict[str, type[AsmanError]] = {c.code: c for c in _subclasses(AsmanError)}


def error_for(code: str, message: str, field: str | None = None, retry_after: float | None = None) -> AsmanError:
    """The exception for an error that came over the wire; unknown codes become a plain `AsmanError`."""
    cls = ERROR_CODES.get(code, AsmanError)
    if cls is ExecutionError:
        return ExecutionError(message)
    return cls(message, field=field, retry_after=retry_after)


class CloseCode(IntEnum):
    """Why a websocket was closed (RFC 6455 codes, and ours from 4000 on)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    BAD_FRAME = 1002
    BAD_TEXT = 1007
    TOO_BIG = 1009
    INTERNAL = 1011
    RESTART = 1012
    PROTOCOL = 4000
    VERSION = 4001
    HELLO_TIMEOUT = 4002
    SLOW_READER = 4003
    REPLACED = 4004
    SILENT = 4005
    OVERLOADED = 4006
    FORBIDDEN = 4007
    BAD_QUEUE = 4008
    UNKNOWN_KEY = 4009
    TOO_SLOW = 4010
    DISMISSED = 4011
    DELETED = 4012


#: The sentence of each of our own close codes.
CLOSE_REASONS: dict[CloseCode, str] = {
    CloseCode.BAD_FRAME: "these bytes are not a websocket frame",
    CloseCode.BAD_TEXT: "a text frame is not UTF-8",
    CloseCode.TOO_BIG: "a frame was larger than the limit named in the welcome",
    CloseCode.RESTART: "the hub is restarting; connect again",
    CloseCode.PROTOCOL: "the hub does not speak this protocol here",
    CloseCode.VERSION: "the hub does not speak this version of the protocol",
    CloseCode.HELLO_TIMEOUT: "no hello arrived in time",
    CloseCode.SLOW_READER: "you read too slowly; connect again and resume",
    CloseCode.REPLACED: "a newer connection of the same worker process took over",
    CloseCode.SILENT: "nothing was heard for longer than the heartbeat allows",
    CloseCode.OVERLOADED: "too many connections; try again later",
    CloseCode.FORBIDDEN: "this key does not allow it",
    CloseCode.BAD_QUEUE: "a queue name has 1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit",
    CloseCode.UNKNOWN_KEY: "no queue of this hub has this key: check it, or run 'asman queue keys' with the queue URL",
    CloseCode.TOO_SLOW: "a message took too long to arrive: send it faster, or in smaller messages",
    CloseCode.DISMISSED: "the queue's owner has drained this worker, and it has nothing left to do",
    CloseCode.DELETED: "the queue's owner has deleted this queue with everything in it",
}


def cut(sentence: str, most: int = SENTENCE_LENGTH) -> str:
    """Returns a sentence with at most ``most`` characters: a reader may quote all of a text that does not fit."""
    return sentence if len(sentence) <= most else sentence[: most - 1] + "…"


def misfit(error: Exception) -> tuple[str, str]:
    """Extracts the fault and its place from a `msgspec.ValidationError` or another error of reading.

    Returns:
        The sentence, which is `cut`, and the path within what was read (``requirements.memory``, ``jobs[0]``); empty
        for the whole.
    """
    if isinstance(error, UnicodeDecodeError):
        from . import half_characters  # most programs never see one

        if half_characters.is_half(error):
            return half_characters.SAYS, ""
    found = re.fullmatch(_PLACE, str(error))
    if found is None:
        return cut(str(error)), ""
    return cut(found["says"]), (found["path"] or "").lstrip(".")


_KINDS: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
"""Words of `msgspec` for kinds of values, and those for people. The patterns of its sentences are compiled at their
first use: most programs see none."""
_COUNTED: Final = {"str": "characters", "array": "items", "object": "members"}
_OTHER_KIND: Final = r"Expected `(?P<wanted>[^`]+)`, got `(?P<given>[^`]+)`"
_OUT_OF_RANGE: Final = r"Expected `(?P<kinds>[^`]+)` (?:(?P<length>of length) )?(?P<side>>=|<=|>|<) (?P<bound>\S+)"
_OTHER_FORM: Final = r"(?s)Expected `[^`]+` matching regex '(?P<form>.*)'"
_MEMBER: Final = r"(?s)Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`"
_OTHER_WORD: Final = r"(?s)Invalid (?:enum )?value (?P<value>.*)"
_SIDES: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def plainly(sentence: str) -> str:
    """Puts a fault as `misfit` extracts it, which has the words of a library, into those of a person."""
    if found := re.fullmatch(_OTHER_KIND, sentence):
        wanted = [_KINDS.get(kind, kind) for kind in found["wanted"].split(" | ")]
        return f"it must be {' or '.join(wanted)}, and is {_KINDS.get(found['given'], found['given'])}"
    if found := re.fullmatch(_OUT_OF_RANGE, sentence):
        most = f"{_SIDES[found['side']]} {found['bound']}"
        kind = next((kind for kind in found["kinds"].split(" | ") if kind in _COUNTED), "")
        return f"it must have {most} {_COUNTED.get(kind, 'items')}" if found["length"] else f"it must be {most}"
    if found := re.fullmatch(_OTHER_FORM, sentence):
        return f"it does not have the form {found['form']}"
    if found := re.fullmatch(_MEMBER, sentence):
        return f"'{found['name']}' is missing" if found["what"].startswith("missing") else f"unknown '{found['name']}'"
    if found := re.fullmatch(_OTHER_WORD, sentence):
        return f"{found['value']} is none of its values"
    return sentence
