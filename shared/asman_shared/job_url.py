"""Reads and writes the URL of a page that contains a whole job in its fragment.

``https://<hub>/#?key=value&key=value``: parameters behind the first ``?`` of the fragment. A JSON value is base64 of
the percent-encoded JSON text. Links exist in three generations: this one, the same percent-encoded once more, and
base64 of the JSON text itself. All are read, and the first is written.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import msgspec

from .address import trimmed
from .definition import Build, DataRef, Definition, Requirements, is_injected_env
from .errors import BadDefinition, BadRequest, TooLarge, misfit
from .units import MIB

URL_BYTES: Final = 2 * MIB
"""Longest URL that is read."""
LOCAL: Final = "local"

#: Parameters for the page; all others are the job's environment.
_OF_THE_PAGE: Final = frozenset(
    {
        "job", "inputs", "queue", "queueOverride", "ignoreQueueOverride", "autostart", "allowsetjob", "resolverefs",
        "terminal", "debug", "maxJobDuration", "control", "definition",
    }
)  # fmt: skip
_COMPONENT_SAFE: Final = "!'()*-._~"
_VARIABLE: Final = re.compile(r"\$\{([^{}]+)\}")


@dataclass(slots=True)
class JobUrl:
    """The contents of a job's URL.

    Attributes:
        definition: The definition that is run.
        hub: The hub's base address.
        queue: The queue's name, its URL, ``local``, or empty when the URL names none.
        max_duration: Longest run time, as the submitter wrote it (``20m``); may be empty.
        control: Settings of its submission: ``namespace``, ``callbacks``, …
    """

    definition: Definition
    hub: str
    queue: str = ""
    max_duration: str = ""
    control: dict[str, Any] = field(default_factory=dict)


def write_job_url(hub: str, definition: Definition, *, queue: str = "", max_duration: str = "") -> str:
    """Returns the URL of a page with a job.

    Args:
        hub: The hub's base address.
        definition: All of the job.
        queue: A name or URL; empty to leave the queue to the person who opens the link.
        max_duration: As in `JobUrl`.
    """
    values = {"job": encode_value(msgspec.to_builtins(definition)), "queue": _component(queue)}
    values["maxJobDuration"] = _component(max_duration)
    return f"{hub}/#?" + "&".join(f"{name}={value}" for name, value in sorted(values.items()) if value)


def is_job_url(text: str) -> bool:
    """Whether a text looks like the URL of a page with a job."""
    before, found, parameters = text.partition("#")
    return bool(found) and before.startswith(("http://", "https://")) and re.search(r"[?&]job=", parameters) is not None


def read_job_url(url: str) -> JobUrl:
    """Returns the job in a URL of any generation.

    Raises:
        BadRequest: The text is not a page's URL, or has no job.
        BadDefinition: The contents are not a valid job.
        TooLarge: The URL is longer than `URL_BYTES`.
    """
    if len(url) > URL_BYTES:
        raise TooLarge(f"a job's URL may have at most {URL_BYTES // MIB} MiB")
    before, _, fragment = trimmed(url).partition("#")
    try:
        parts = urlsplit(before)
    except ValueError:
        raise BadRequest("the host in this URL of a job can't be read") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise BadRequest("this is not the URL of a job, which looks like https://hub.example/#?job=…")
    given = _parameters(fragment.partition("?")[2])
    if not given.get("job"):
        raise BadRequest("this URL holds no job: its fragment has no 'job='")
    job = decode_value(given["job"], "job")
    if not isinstance(job, dict):
        raise BadDefinition("the job in this URL is not a JSON object", field="job")
    texts = decode_value(given["inputs"], "inputs") if given.get("inputs") else {}
    control = decode_value(given["control"], "control") if given.get("control") else {}
    plain = {name: _plain(value) for name, value in given.items() if name not in ("job", "inputs", "control")}
    override = plain.get("queueOverride", "") if plain.get("ignoreQueueOverride") != "true" else ""
    return JobUrl(
        definition=_definition(job, texts, {name: plain[name] for name in plain if name not in _OF_THE_PAGE}),
        hub=f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}",
        queue=override or plain.get("queue", ""),
        max_duration=plain.get("maxJobDuration", ""),
        control=control if isinstance(control, dict) else {},
    )


def encode_value(value: Any) -> str:
    """Encodes a JSON value for a URL."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(_component(text).encode()).decode("ascii")


def decode_value(text: str, name: str) -> Any:
    """Decodes the JSON value of a parameter of any generation.

    Raises:
        BadDefinition: The parameter has no JSON value.
    """
    raw = _plain(text).replace(" ", "+").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(raw + "=" * (-len(raw) % 4), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise BadDefinition(f"'{name}' in this URL can't be read: it is not base64 of text", field=name) from error
    for read in (unquote, str) if data.startswith("%") else (str, unquote):
        try:
            return json.loads(read(data))
        except (ValueError, RecursionError):
            continue
    raise BadDefinition(f"'{name}' in this URL can't be read: it is not JSON", field=name)


def _component(text: str) -> str:
    """Encodes a text like ``encodeURIComponent``."""
    return quote(text, safe=_COMPONENT_SAFE)


def _plain(text: str) -> str:
    return unquote(text) if "%" in text else text


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name:
            found[_plain(name)] = value
    return found


def _definition(job: dict[str, Any], texts: Any, others: Mapping[str, str]) -> Definition:
    """Builds the definition that a page makes of its parameters."""
    others = {name: value for name, value in others.items() if not is_injected_env(name)}
    known = _known(Definition, job)
    for name, kind in (("build", Build), ("requirements", Requirements)):
        if isinstance(known.get(name), dict):
            known[name] = _known(kind, known[name])
    for name in ("inputs", "configFiles"):
        if isinstance(known.get(name), dict):
            known[name] = {key: _known(DataRef, ref) for key, ref in known[name].items() if isinstance(ref, dict)}
    if isinstance(known.get("env"), dict):
        known["env"] = {name: value for name, value in known["env"].items() if not is_injected_env(name)}
    try:
        made = msgspec.convert(known, Definition)
    except msgspec.ValidationError as error:
        sentence, path = misfit(error)
        raise BadDefinition(f"the job in this URL can't be run: {sentence} ({path})", field=f"job.{path}") from error
    made.env = {**(made.env or {}), **others} or None
    if isinstance(texts, dict) and texts:
        made.config_files = {name: DataRef(str(text), "utf8") for name, text in texts.items()}
    _fill_in(made, others)
    return made


def _known(kind: type[msgspec.Struct], value: dict[str, Any]) -> dict[str, Any]:
    """Returns the members of an object that the type knows and that are not null; pages add members of their own."""
    names = {each.encode_name for each in msgspec.structs.fields(kind)}
    return {name: member for name, member in value.items() if name in names and member is not None}


def _fill_in(made: Definition, others: Mapping[str, str]) -> None:
    """Replaces ``${name}`` by the parameter of that name."""

    def fill(text: str) -> str:
        return _VARIABLE.sub(lambda found: others.get(found[1], found[0]), text)

    if isinstance(made.command, str):
        made.command = fill(made.command)
    elif made.command is not None:
        made.command = [fill(word) for word in made.command]
    if made.build is not None and made.build.context is not None:
        made.build.context = fill(made.build.context)
