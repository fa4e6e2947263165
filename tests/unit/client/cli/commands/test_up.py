"""A hub and a worker on one machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from asman.cli.commands.up import kept_queue
from asman_shared.errors import BadRequest


def test_up_keeps_its_queue(tmp_path: Path) -> None:
    first = kept_queue(tmp_path, None)
    assert kept_queue(tmp_path, None) == first
    assert (tmp_path / "queue").stat().st_mode & 0o077 == 0
    assert kept_queue(tmp_path, "mine") == "mine"
    assert kept_queue(tmp_path, None) == "mine"
    with pytest.raises(BadRequest):
        kept_queue(tmp_path, "not a name")
