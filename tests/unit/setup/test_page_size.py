"""What a browser loads before a page of any kind works is small, and what is large waits until it is needed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[3] / "server/asman_server/page"
MOST = 60 * 1024
#: Parts that are loaded when they are opened.
APART = ("code-editor", "charts", "frame", "markdown", "zip")


def _manifest() -> dict[str, Any]:
    path = PAGE / "manifest.json"
    if not path.is_file():
        pytest.fail("the page is not built; make web builds it", pytrace=False)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _all_of(manifest: dict[str, Any], part: str, seen: set[str]) -> set[str]:
    """The files of a part and of everything that it imports before it runs."""
    if part in seen:
        return set()
    seen.add(part)
    about = manifest[part]
    files = {about["file"], *about.get("css", [])}
    for other in about.get("imports", []):
        files |= _all_of(manifest, other, seen)
    return files


@pytest.mark.parametrize("kind", ["job-page", "queue-page", "start-page", "linked-job-page"])
def test_the_first_load_of_a_page_is_at_most_60_kib(kind: str) -> None:
    manifest = _manifest()
    wanted = ["index.html", f"src/ui/{kind}.tsx"]
    files: set[str] = set()
    for part in wanted:
        files |= _all_of(manifest, part, set())
    sizes = {name: len(gzip.compress((PAGE / name).read_bytes(), 6)) for name in files}
    assert sum(sizes.values()) <= MOST, sizes
    assert not [name for name in files if any(f"/{apart}-" in name for apart in APART)]


def test_large_parts_are_apart() -> None:
    parts = " ".join(path.name for path in (PAGE / "assets").iterdir())
    assert [name for name in APART if f"{name}-" not in parts] == []
