"""Makes a definition of a task.

The mapping: the first executor is the job's command and the others are its steps; inputs are config files; folders that
are written to are volumes, because these are what a job's containers share and what its outputs are taken from.
"""

from __future__ import annotations

import posixpath
import re
import secrets
from typing import Any, Final, get_args

from asman_shared import half_characters
from asman_shared.definition import SHA256, UPLOADED, DataRef, Definition, Requirements, Step
from asman_shared.errors import BadRequest
from asman_shared.places.urls import is_place, place_of, url_within
from asman_shared.states import Reuse

from ..access import Access
from ..hub import Hub
from ..rest.given_files import refs_of
from .reach import Reach
from .task import Executor, Input, Output, Resources, Task

REUSE: Final = "asman.reuse"
"""Tag of a task that an equal one's result answers."""
BACKEND_PARAMETERS: Final = ("gpus", "max_duration", "worker_tags")
"""Parameters of ``resources.backend_parameters`` that mean something here."""
KEPT: Final = "asman:"
"""Beginning of the URL of an output that the hub keeps; an empty URL means the same."""
_WILD: Final = re.compile(r"[*?\[]")
_SPECIAL: Final = re.compile(r"([*?\[])")
_NONCE_BYTES: Final = 12


async def definition_of(hub: Hub, task: Task, reach: Reach, access: Access | None = None) -> Definition:
    """Returns the definition of the job that a task is, and stores its large files.

    Unless the task asks for an earlier result, its definition is like no other.

    Args:
        hub: The hub.
        task: The task.
        reach: The places that the queue's workers reach.
        access: The key that the task came with, for the limits of its sender.

    Raises:
        BadRequest: A member of the task can't be what it is here; the error names it.
        AsmanError: A file can't be stored now.
    """
    needed: list[str] = []
    outputs, written = _outputs(task, reach, needed)
    commands = [_command(each, f"executors[{number}]") for number, each in enumerate(task.executors)]
    for command in commands:
        written += [posixpath.dirname(command[name]) for name in ("stdout", "stderr") if name in command]
    first, *others = commands
    volumes = {_path(path, f"volumes[{n}]") for n, path in enumerate(task.volumes)}
    volumes |= {_volume(path) for path in written}
    parameters = _parameters(task.resources)
    config_files = await _inputs(hub, task.inputs, reach, needed, access)
    words = [word for word in parameters.get("worker_tags", "").split(",") if word]
    return Definition(
        v=None if reuse_of(task) != "never" else f"tes:{secrets.token_hex(_NONCE_BYTES)}",
        config_files=config_files or None,
        volumes=sorted(volumes) or None,
        outputs=outputs or None,
        steps=[Step(**command) for command in others] or None,
        requirements=_requirements(task.resources, parameters.get("gpus")),
        max_duration=parameters.get("max_duration"),
        tags=[*words, *dict.fromkeys(needed)] or None,
        **first,
    )


def reuse_of(task: Task) -> Reuse:
    """Returns the results of an equal task that answer this one; without the tag none do.

    Raises:
        BadRequest: The tag has another value.
    """
    said = task.tags.get(REUSE, "never")
    for reuse in get_args(Reuse):
        if said == reuse:
            found: Reuse = reuse
            return found
    raise BadRequest(
        f"the tag '{REUSE}' can be 'success' (an equal task that succeeded is the answer), 'any' (also one that "
        "failed) or 'never'",
        field=f"tags.{REUSE}",
    )


def _command(executor: Executor, place: str) -> dict[str, Any]:
    made: dict[str, Any] = {"image": executor.image, "command": executor.command, "entrypoint": []}
    if executor.workdir:
        made["workdir"] = _path(executor.workdir, f"{place}.workdir")
    for name in ("stdin", "stdout", "stderr"):
        if path := getattr(executor, name):
            made[name] = _path(path, f"{place}.{name}")
    if executor.env:
        made["env"] = executor.env
    if executor.ignore_error:
        made["ignore_failure"] = True
    return made


def _path(path: str, place: str) -> str:
    """Returns an absolute path in the container in its shortest form.

    Raises:
        BadRequest: It is relative, or goes up.
    """
    if not path.startswith("/") or ".." in path.split("/"):
        raise BadRequest(f"'{path[:80]}' is not an absolute path of the container without '..'", field=place)
    return posixpath.normpath(f"/{path.lstrip('/')}")


def _volume(folder: str) -> str:
    """Returns a folder that is written to.

    Raises:
        BadRequest: It is the container's whole file system.
    """
    if folder in ("", "/"):
        raise BadRequest(
            "a file directly below / can't be kept: choose a path in a folder, such as /out/file", field="outputs"
        )
    return folder


def _outputs(task: Task, reach: Reach, needed: list[str]) -> tuple[list[str], list[str]]:
    """Returns the patterns of the outputs, with their URLs, and the folders in which they are.

    Adds the tags of the workers that reach the URLs to ``needed``.
    """
    patterns: list[str] = []
    folders: list[str] = []
    for number, output in enumerate(task.outputs):
        place = f"outputs[{number}]"
        url = _target(output, place, reach, needed)
        path = _path(output.path, f"{place}.path")
        wild = bool(output.path_prefix) and _WILD.search(path) is not None
        if output.type == "DIRECTORY":
            folders.append(path)
        elif wild:
            prefix = _path(output.path_prefix, f"{place}.path_prefix")
            if not path.startswith(f"{prefix.rstrip('/')}/"):
                raise BadRequest("the path_prefix is not the beginning of the path", field=f"{place}.path_prefix")
            still = _still(path)
            folders.append(still)
            if url and not f"{still}/".startswith(f"{prefix.rstrip('/')}/"):
                raise BadRequest("the path_prefix has a wildcard", field=f"{place}.path_prefix")
            inner = still.removeprefix(prefix.rstrip("/")).strip("/")
            url = url_within(url, f"{inner}/") if url and inner else url
        else:
            folders.append(posixpath.dirname(path))
        pattern = path.removeprefix("/") if wild else _SPECIAL.sub(r"[\1]", path.removeprefix("/"))
        entry = f"{pattern}={url}" if url else pattern
        if entry not in patterns:
            patterns.append(entry)
    return patterns, folders


def _still(path: str) -> str:
    """Returns the longest folder of a path with wildcards that has none."""
    parts = path.split("/")
    return "/".join(parts[: next(at for at, part in enumerate(parts) if _WILD.search(part))])


def _target(output: Output, place: str, reach: Reach, needed: list[str]) -> str:
    """Returns the URL that an output is written to; empty if the hub keeps it."""
    several = output.type == "DIRECTORY" or (bool(output.path_prefix) and _WILD.search(output.path) is not None)
    if is_place(output.url):
        return _reached(output.url, f"{place}.url", reach, needed, folder=several, writing=True)
    if output.url and not output.url.startswith(KEPT):
        scheme = output.url.partition(":")[0] if ":" in output.url else output.url
        raise BadRequest(
            f"an output can't be written to {scheme[:40]} here, but to s3://bucket/key and file:///path of a worker: "
            "or leave its url empty, and fetch it at the address that the logs of the finished task have",
            field=f"{place}.url",
        )
    return ""


def _reached(url: str, field: str, reach: Reach, needed: list[str], *, folder: bool, writing: bool) -> str:
    """Returns the URL of a place in its one form, and adds the tag of the workers that reach it to ``needed``."""
    if folder and not url.endswith("/"):
        url = f"{url}/"
    found = place_of(url, field)
    if found.folder and not folder:
        raise BadRequest("the URL of a FILE must not end in a slash", field=field)
    needed.append(reach.tag_for(found, field, writing=writing))
    return url


async def _inputs(
    hub: Hub, inputs: list[Input], reach: Reach, needed: list[str], access: Access | None
) -> dict[str, DataRef]:
    """Returns the inputs as config files, by their path; adds to ``needed`` as `_outputs`."""
    found: dict[str, DataRef] = {}
    contents: dict[str, bytes] = {}
    for number, given in enumerate(inputs):
        place = f"inputs[{number}]"
        path = _path(given.path, f"{place}.path")
        if path in found or path in contents:
            raise BadRequest(f"two inputs have the path '{path[:80]}'", field=f"{place}.path")
        if given.content or not given.url:
            if given.type == "DIRECTORY":
                raise BadRequest("a DIRECTORY has no content: give its files, each with a path", field=f"{place}.type")
            contents[path] = _utf8(given.content, f"{place}.content")
        else:
            found[path] = _remote(given, place, reach, needed)
    return found | await refs_of(hub, contents, access)


async def check_blobs(hub: Hub, inputs: list[Input]) -> None:
    """Checks that the hub stores the blobs that inputs name.

    Raises:
        BadRequest: One is not stored.
        Unavailable: The database can't be read now.
    """
    places = {
        sha256: number for number, given in enumerate(inputs) if not given.content and (sha256 := _blob_of(given.url))
    }
    missing = await hub.blobs.missing("", list(places)) if places else []
    if missing:
        raise BadRequest(
            f"this hub does not store the blob {UPLOADED}{missing[0]}: upload it first, as docs/blobs.md says, "
            "or give the file by its content",
            field=f"inputs[{places[missing[0]]}].url",
        )


def _remote(given: Input, place: str, reach: Reach, needed: list[str]) -> DataRef:
    url = given.url
    if is_place(url):
        folder = given.type == "DIRECTORY"
        return DataRef(_reached(url, f"{place}.url", reach, needed, folder=folder, writing=False), "url")
    if given.type == "DIRECTORY":
        raise BadRequest("a DIRECTORY can't be fetched here: give its files, each with a path", field=f"{place}.type")
    if url.startswith(("http://", "https://")):
        return DataRef(url, "url")
    if sha256 := _blob_of(url):
        return DataRef(sha256, "key")
    scheme = url.partition(":")[0] if ":" in url else url
    raise BadRequest(
        f"an input can't be read from {scheme[:40]} here: use an address with https or http, the content itself, "
        "s3://bucket/key or file:///path of a worker, or "
        f"{UPLOADED}<sha256> of a blob that this hub stores",
        field=f"{place}.url",
    )


def _blob_of(url: str) -> str:
    """Returns the hash of the blob that a URL names; empty if it names none."""
    sha256 = url.removeprefix(UPLOADED)
    return sha256 if sha256 != url and SHA256.fullmatch(sha256) else ""


def _utf8(text: str, place: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise BadRequest(half_characters.SAYS, field=place) from None


def _parameters(resources: Resources) -> dict[str, str]:
    """Returns the parameters that mean something here, by their names in small letters.

    Raises:
        BadRequest: One of the others is given, and the client asks for all or nothing.
    """
    given = {name.lower(): value for name, value in resources.backend_parameters.items()}
    unknown = [name for name in given if name not in BACKEND_PARAMETERS]
    if unknown and resources.backend_parameters_strict:
        raise BadRequest(
            f"the backend parameter '{unknown[0][:80]}' means nothing here; these do: {', '.join(BACKEND_PARAMETERS)}",
            field="resources.backend_parameters",
        )
    return {name: value for name, value in given.items() if name in BACKEND_PARAMETERS and value}


def _requirements(resources: Resources, gpus: str | None) -> Requirements | None:
    if resources.zones:
        raise BadRequest(
            "zones mean nothing here: choose workers by their tags, with the backend parameter worker_tags",
            field="resources.zones",
        )
    made = Requirements()
    if resources.cpu_cores:
        cores = resources.cpu_cores
        made.cpus = int(cores) if cores.is_integer() else cores
    if resources.ram_gb:
        made.memory = f"{max(1, round(resources.ram_gb * 1000))}MB"
    if gpus is not None:
        if not (gpus.isascii() and gpus.isdecimal() and len(gpus) <= 6):
            raise BadRequest("gpus is a whole number, as text", field="resources.backend_parameters.gpus")
        made.gpus = int(gpus)
    return made if made != Requirements() else None


def shown_again(body: dict[str, Any]) -> dict[str, Any]:
    """Returns a task as it was sent, without the contents of its inputs and without parameters that mean nothing here.

    The contents are in the definition (`views` puts them in again).
    """
    shown = dict(body)
    if isinstance(inputs := shown.get("inputs"), list):
        shown["inputs"] = [{name: value for name, value in each.items() if name != "content"} for each in inputs]
    resources = shown.get("resources")
    if isinstance(resources, dict) and (parameters := resources.get("backend_parameters")):
        known = {name: value for name, value in parameters.items() if name.lower() in BACKEND_PARAMETERS}
        shown["resources"] = {**resources, "backend_parameters": known}
    return shown
