"""A wheel has all that a hub serves by itself: the page and the documentation."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
HUB = ROOT / "server/asman_server"


def test_a_wheel_contains_the_page_and_every_file_of_the_documentation(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*command, "-w", str(tmp_path), str(ROOT)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("asman-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    listed = json.loads((HUB / "site/site.json").read_text())
    assert len(listed) > 100
    assert {"asman_server/page/index.html", *(f"asman_server/site/{each}" for each in (*listed, "site.json"))} <= names
