"""No example puts the name of a queue, which is all rights to it, among the arguments that all users can read."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SHOWN = (
    "*.md",
    "docs/*.md",
    "deploy/*",
    "compose.yaml",
    "client/asman/cli/**/*.py",
    "web/src/**/*.ts*",
    "examples/**/*.*",
)
"""What people copy commands from."""
NAMED = re.compile(
    r"asman (worker|run|queue watch|job add) +(https?://|\$\{?(ASMAN_QUEUE|queue|address)|\{address|\{url)"
    r"|asman/worker(-standalone)?\b[^\n]* [a-z0-9-]*queue-name",
    re.IGNORECASE,
)


def test_no_example_names_a_queue_among_its_arguments() -> None:
    files = [path for pattern in SHOWN for path in ROOT.glob(pattern) if path.is_file()]
    assert len(files) > 50
    found = [f"{path.relative_to(ROOT)}: {hit.group()}" for path in files for hit in NAMED.finditer(path.read_text())]
    assert found == []


def test_a_command_with_a_name_is_found() -> None:
    for line in (
        "asman worker https://h/q/x",
        "asman worker $ASMAN_QUEUE",
        "asman run ${queueUrl(queue)} -- echo",
        'f"asman worker {address.url}"',
        "docker run asman/worker --cpus=2 my-unique-queue-name",
    ):
        assert NAMED.search(line), line
    assert not NAMED.search("ASMAN_QUEUE=https://h/q/x asman worker")
