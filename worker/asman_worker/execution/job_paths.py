"""Gives processes without a container their folders where a container has them, if the system allows it."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from asman_shared.definition import Definition
from asman_shared.units import MIB

from . import job_root
from .environment import CACHE, INPUTS, OUTPUTS
from .interface import AttemptSpec

NAMES: Final = re.compile(rb"(?<![\w.}/-])/(?:inputs|outputs|job-cache)(?![\w-])")
"""The folders of a job's files in a container, as a text names them."""
HINT: Final = "this worker runs jobs without containers: their files are in $JOB_INPUTS and $JOB_OUTPUTS"
"""Told to a failed job that names folders which it does not have."""
_READ: Final = MIB
"""Largest input file in which the names are looked for, in bytes."""
_LOOKED_AT: Final = 1000
"""Most input files that are looked at."""
_TRIAL_SECONDS: Final = 20.0


def names_folders(definition: Definition, inputs: Path | None = None) -> bool:
    """Returns whether a job names the folders of a container: in its command, its variables, or a small input file.

    Args:
        definition: The job.
        inputs: The folder with its input files; None to look at the definition alone.
    """
    return any(NAMES.search(text) for text in _texts(definition, inputs))


def _texts(definition: Definition, inputs: Path | None) -> Iterator[bytes]:
    for words in (definition.entrypoint, definition.command):
        yield from (each.encode("utf-8", "replace") for each in ([words] if isinstance(words, str) else words or ()))
    for value in (definition.workdir or "", *(definition.env or {}).values()):
        yield value.encode("utf-8", "replace")
    for path in islice(inputs.rglob("*"), _LOOKED_AT) if inputs is not None else ():
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _READ:
            yield path.read_bytes()


def rooted(spec: AttemptSpec, words: list[str], environment: dict[str, str], status: int) -> list[str]:
    """Returns the command that runs a job's command with the job's folders at ``/inputs`` and so on.

    Args:
        spec: The attempt; its folder gets a file, which the command removes.
        words: The job's command.
        environment: All of its variables.
        status: The descriptor on which the command says why it could not start the job's; closed when it does.
    """
    folders = {INPUTS: spec.folder.inputs, OUTPUTS: spec.folder.outputs, CACHE: spec.cache}
    workdir = spec.definition.workdir or environment["HOME"]
    return _planned(spec.folder.root, folders, workdir, environment, words, status)


def _planned(
    folder: Path,
    folders: dict[str, Path],
    workdir: str,
    environment: dict[str, str],
    words: Iterable[str],
    status: int,
) -> list[str]:
    plan: job_root.Plan = {
        "root": str(folder / "root"),
        "folders": {name.removeprefix("/"): str(path) for name, path in folders.items()},
        "workdir": workdir,
        "environment": environment,
        "words": list(words),
    }
    file = folder / f"plan-{secrets.token_hex(4)}.json"
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "w") as out:
        json.dump(plan, out)
    return [sys.executable, "-I", "-S", str(Path(job_root.__file__)), str(file), str(status)]


def try_out(folder: Path) -> str:
    """Returns why this machine can't give processes such folders; empty if it can.

    Args:
        folder: An empty folder for the trial.
    """
    made = {name: folder / name.removeprefix("/") for name in (INPUTS, OUTPUTS, CACHE)}
    for path in made.values():
        path.mkdir(parents=True)
    (made[INPUTS] / "there").touch()
    reading, writing = os.pipe()
    try:
        words = ["/bin/sh", "-c", f"test -e {INPUTS}/there && : > {OUTPUTS}/made && : > {CACHE}/made"]
        ran = subprocess.run(  # noqa: S603 - a program of our own
            _planned(folder, made, "/", {}, words, writing),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=(writing,),
            timeout=_TRIAL_SECONDS,
            check=False,
        )
        os.close(writing)
        writing = -1
        said = os.read(reading, 4000).decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    if said or ran.returncode != 0:
        return said or f"the trial ended with code {ran.returncode}"
    return "" if (made[OUTPUTS] / "made").exists() else "the trial left no file"
