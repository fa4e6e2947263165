"""Checks for the optional parts of Asman."""

from __future__ import annotations

import pytest

from asman.cli import extras
from asman_shared.errors import Conflict


def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    extras.require("hub", "worker")
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in ("aiodocker", "uvicorn") else object())
    with pytest.raises(Conflict, match=r"in the clone of Asman, run  pip install '\.\[worker\]'"):
        extras.require("worker")
    with pytest.raises(Conflict, match=r"pip install '\.\[hub,worker\]'"):
        extras.require("hub", "worker")
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "aiodocker" else object())
    extras.require("hub")
