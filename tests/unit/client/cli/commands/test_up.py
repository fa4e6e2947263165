"""A hub and a worker on one machine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asman.address import Address
from asman.cli.commands.up import _LocalWorker, kept_queue
from asman.cli.terminal import Terminal
from asman_server.rest import page
from asman_shared.errors import BadRequest


def test_up_keeps_its_queue(tmp_path: Path) -> None:
    first = kept_queue(tmp_path, None)
    assert kept_queue(tmp_path, None) == first
    assert (tmp_path / "queue").stat().st_mode & 0o077 == 0
    assert kept_queue(tmp_path, "mine") == "mine"
    assert kept_queue(tmp_path, None) == "mine"
    with pytest.raises(BadRequest):
        kept_queue(tmp_path, "not a name")


@pytest.mark.parametrize("made", [False, True])
def test_the_first_up_keeps_others_out_of_its_data_folder(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "data"
    if made:
        folder.mkdir(mode=0o755)
    kept_queue(folder, None)
    assert folder.stat().st_mode & 0o077 == 0


def test_up_closes_no_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    tmp_path.chmod(0o755)
    kept_queue(tmp_path, None)
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def announced(capsys: pytest.CaptureFixture[str], **more: Any) -> str:
    """What ``asman up`` says when it is ready."""
    config = SimpleNamespace(**{"host": "127.0.0.1", "public_url": "", **more})
    server: Any = SimpleNamespace(config=config, local_address="", found_by_pages=False)
    _LocalWorker(server, Address("http://127.0.0.1:8000", "mine"), "process", {}, Terminal())._announce()
    out, err = capsys.readouterr()
    return str(out + err)


def test_another_machine_is_told_an_address_that_it_can_use(capsys: pytest.CaptureFixture[str]) -> None:
    own = announced(capsys)
    assert "ASMAN_QUEUE=http://127.0.0.1:8000/q/mine asman run" in own
    assert "start it with --host 0.0.0.0" in own
    assert "asman worker" not in own
    behind = announced(capsys, public_url="https://hub.example/")
    assert "ASMAN_QUEUE=https://hub.example/q/mine asman worker" in behind
    named = announced(capsys, host="192.0.2.7")
    assert "ASMAN_QUEUE=http://127.0.0.1:8000/q/mine asman worker" in named


def test_the_page_is_named_only_where_it_was_built(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    assert "the page was not built" in announced(capsys)
    (tmp_path / "index.html").touch()
    assert "page   http://127.0.0.1:8000/#?queue=mine" in announced(capsys)
