"""The pages of the site: their sources in the repository, their places in the site, their order and descriptions."""

from __future__ import annotations

import posixpath
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

SECTIONS: Final[dict[str, dict[str, str]]] = {
    "Use": {
        "README.md": "what Asman is, how to install it and run a first job",
        "docs/page.md": "the page in a browser: addresses of queues and jobs, embedding it in another page, the log",
        "docs/cli.md": "every command and option of `asman`, with its environment variables and exit codes",
        "docs/inputs.md": "every way to give a job a file, in Python, on the command line and over HTTP",
        "docs/ci.md": "`asman run` in CI systems and scripts: exit codes, results as JSON, signals, time limits",
        "docs/python.md": "the Python client: submit, follow and cancel jobs, read files, an executor for functions",
        "docs/notebooks.md": "jobs, results and live progress in notebooks",
        "docs/pytest.md": "tests that run commands and functions as jobs, many at once",
        "docs/http.md": "submit jobs and read results over plain HTTP, with curl",
        "docs/mcp.md": "a queue as an MCP server: tools, resources and tasks for agents, and what clients do with them",
        "docs/tes.md": "a queue as a GA4GH TES server: tasks of workflow engines, and what clients do with them",
        "docs/logs.md": "the log of a job: lines and phases, how to follow it, read parts and search it",
        "docs/blobs.md": "the files of jobs: how they are named, sent, kept and deleted, on disk or in S3",
        "docs/keys.md": "keys to a queue that grant less than its name: to read, submit or work; what each may do",
        "docs/owner.md": "what a queue's owner orders: a pause, drained workers, kept jobs, purges",
        "docs/webhooks.md": "requests that the hub makes when a job is queued or finished, their signature and retries",
    },
    "Run": {
        "docs/team.md": "a team from start to end: a hub with https, workers, keys, a dashboard, a worker that dies",
        "docs/worker.md": "start a worker, what jobs may do on its machine, builds, secrets, limits",
        "docs/operations.md": "a hub that a team runs: sizing, what to watch, and what to do for each alert",
        "docs/network.md": "proxies, certificates and addresses between clients, workers and a hub",
        "docs/limits.md": "what a hub takes from an address, a key or a queue, and how clients wait for it",
        "docs/backup.md": "back up a hub while it runs; restore, check, move and upgrade it",
        "docs/security.md": "who can see and do what, by the name of a queue, a job's URL or an address",
    },
    "Reference": {
        "docs/protocol.md": "the native websocket protocol, every message, for authors of clients and workers",
        "docs/dialect.md": "the JSON dialect that pages, scripts and workers of earlier queue services speak",
        "docs/errors.md": "every error and close code: what it means and whether trying again helps",
    },
    "Inside": {
        "docs/architecture.md": "the components, the words for them, and the path of one job through the code",
        "docs/promises.md": "failures of queue systems, the guarantee against each, and its tests",
        "docs/performance.md": "the present figures, one table a scenario",
        "docs/performance-history.md": "full tables, and what each change gave",
        "docs/decisions/README.md": "choices that are not obvious from the code, with their reasons",
    },
}
"""The pages in their order, each with its description. Pages that are not here come last, without one."""
MORE: Final = "More"


@dataclass(frozen=True)
class Page:
    """A page of the site.

    Attributes:
        source: The path of its Markdown in the repository.
        place: The path of its Markdown in the site; the page itself ends in ``.html`` instead.
        title: Its first heading, as plain text.
        section: The heading of the list of pages below which it stands; empty for pages that only others lead to.
        description: A short description, or the first sentence of the page.
        text: Its Markdown.
    """

    source: str
    place: str
    title: str
    section: str
    description: str
    text: str


def pages(root: Path = ROOT) -> list[Page]:
    """Returns all pages in their order."""
    listed = {source: section for section, about in SECTIONS.items() for source in about}
    docs = sorted(path.relative_to(root).as_posix() for path in (root / "docs").rglob("*.md"))
    order = [*(each for each in listed if (root / each).is_file()), *(each for each in docs if each not in listed)]
    return [_page(root, source, listed.get(source, "" if "/decisions/" in source else MORE)) for source in order]


def _page(root: Path, source: str, section: str) -> Page:
    text = (root / source).read_text()
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    if title is None:
        raise ValueError(f"{source} has no heading of the first order; begin it with '# Title'")
    description = SECTIONS.get(section, {}).get(source) or _first_sentence(text[title.end() :])
    return Page(source, place_of(source), plain(title[1]), section, description, text)


def place_of(source: str) -> str:
    """Returns the path in the site of a file of the repository."""
    if source == "README.md":
        return "docs/index.md"
    folder, name = posixpath.split(source)
    return posixpath.join(folder, "index.md") if name == "README.md" else source


def plain(text: str) -> str:
    """Returns Markdown of one line as plain text."""
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"[*`]", "", text).strip()


def first_paragraph(text: str) -> str:
    """Returns the first paragraph of a page as plain text, without headings, tables and HTML before it."""
    blocks = [" ".join(block.split()) for block in text.strip().split("\n\n")]
    return plain(next((block for block in blocks if block and block[0] not in "#|<`"), ""))


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.:]) (?=[A-Z`])", first_paragraph(text))[0].rstrip(".:")


def repository(root: Path = ROOT) -> str:
    """Returns the address of the repository, for links to files that are not in the site."""
    address: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["urls"]["Source"]
    return address
