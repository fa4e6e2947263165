"""Divides an engine's words into those that submitters are told and those for the worker's log alone.

An engine's error may name addresses, proxies, sockets and folders of the worker's machine. Only sentences that are
known to be about the job's own texts (its Dockerfile, files, command, user, limits) are told; a new sentence of an
engine is for the log.
"""

from __future__ import annotations

import re
from typing import Final

LOGGED: Final = "the engine's words are in the worker's log"
"""Told instead of words that are for the log alone."""
_LONGEST: Final = 2000
_LOGGED_MOST: Final = 4000

_ENDS: Final = (
    r"(?:executable file not found in \$PATH|no such file or directory|permission denied|is a directory"
    r"|not a directory|exec format error|text file busy|argument list too long)"
)
_OF_JOB: Final = re.compile(
    "|".join(
        (
            # Steps of a build.
            r"The command '(?s:.){1,20000}?' returned a non-zero code: \d{1,3}",
            r"(?:COPY|ADD) failed: (?:file not found in build context or excluded by \.dockerignore: )?"
            r"l?stat [^\n]{1,500}?: (?:file does not exist|no such file or directory)",
            r"(?:COPY|ADD) failed: forbidden path outside the build context: [^\n]{0,500}",
            r"(?:COPY|ADD) failed: no source files were specified",
            r"When using (?:COPY|ADD) with more than one source file, "
            r"the destination must be a directory and end with a /",
            r"failed to reach build target [^\n]{1,200} in Dockerfile",
            r"[Dd]ockerfile parse error(?: on)? line \d+: [^\n]{1,500}",
            r"unknown instruction: \S{1,100}",
            r"Syntax error - [^\n]{1,300}",
            # Starts of containers and of steps.
            rf'exec: "[^\n]{{1,1000}}?": (?:l?stat [^\n:]{{1,1000}}: )?{_ENDS}',
            rf"exec user process caused: {_ENDS}",
            rf"exec /[^\s:]{{0,500}}: {_ENDS}",
            rf"chdir to cwd \([^\n]{{1,500}}?\) set in config\.json failed: {_ENDS}",
            r"[Uu]nable to find (?:user|group) [^\n:]{1,200}: no matching entries in (?:passwd|group) file",
            r"the working directory '[^\n]{1,500}?' is invalid, it needs to be an absolute path",
            r"uids and gids must be in range \d+-\d+",
            # A path after these words is in the container, which makes its working directory.
            r"(?<=error during container init: )mkdir /[^\n:]{1,1000}: "
            r"(?:read-only file system|no such file or directory|not a directory|file exists|permission denied)",
            r"Cannot mkdir: /[^\n]{1,1000} is not a directory",
            r"cannot mount volume over existing file",
            r"Invalid signal: \S{1,100}",
            r"[Mm]inimum memory limit allowed is \d+[A-Za-z]*",
            r"[Nn]o command specified",
        )
    )
)
_OF_WORKER: Final = re.compile(
    "|".join(
        (
            r"could not select device driver \"[^\"\n]{0,50}\" with capabilities: [\[\]\w ,]{1,100}",
            r"no space left on device",
            r"cannot allocate memory",
        )
    )
)


def told(said: str) -> str:
    """Returns the part of an engine's words that submitters are told; empty if there is none."""
    found = _OF_JOB.search(said) or _OF_WORKER.search(said)
    return found[0][:_LONGEST] if found is not None else ""


def blames_job(said: str) -> bool:
    """Checks whether an engine's words are about the job's own texts, so that no other worker can do better."""
    return _OF_JOB.search(said) is not None


def logged(said: str) -> str:
    """Returns an engine's words as the log has them: bounded."""
    return said.strip()[:_LOGGED_MOST]
