"""A restore puts all of a backup into a data folder in one step, or changes nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from asman_server.upkeep import restore as upkeep
from asman_server.upkeep.manifest import part_of
from asman_shared.errors import AsmanError, BadRequest, Conflict, Misconfigured, NotFound, Unauthentic
from devtools.asman_processes import HubProcess
from tests.support.blob_hub import sha256
from tests.support.killed_at import forked, killed_at
from tests.support.stores import backed_up, blobs_of, files, restored, store_of_blobs


@pytest.fixture
async def place(tmp_path: Path) -> Path:
    """A place with one backup of three blobs."""
    async with store_of_blobs(tmp_path / "data"):
        await backed_up(tmp_path / "data", tmp_path / "place")
    return tmp_path / "place"


async def refusal(place: Path, data: Path, kind: type[AsmanError] = Unauthentic, **more: object) -> str:
    """What a restore is refused with; nothing is left of it."""
    before = files(data) if data.exists() else {}
    with pytest.raises(kind) as caught:
        await restored(place, data, **more)  # type: ignore[arg-type]
    assert (files(data) if data.exists() else {}) == before
    assert not [path for path in data.parent.iterdir() if path.name.startswith(f".{data.name}")]
    return caught.value.message


def only(place: Path, pattern: str) -> Path:
    return next(path for path in sorted(place.glob(pattern)) if path.is_file())


# -------------------------------------------------------------------------------------------------------- damaged


@pytest.mark.parametrize("what", ["backups/*/hub.sqlite", "backups/*/secret", "blobs/*/*"])
@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
async def test_a_backup_with_a_damaged_part_is_not_restored(place: Path, tmp_path: Path, what: str, how: str) -> None:
    part = only(place, what)
    body = part.read_bytes()
    if how == "gone":
        part.unlink()
    else:
        part.write_bytes(body[:-1] if how == "cut" else bytes([body[0] ^ 1]) + body[1:])
    kind = (Unauthentic, NotFound) if how == "gone" else Unauthentic
    for check in (False, True):
        said = await refusal(place, tmp_path / "new", kind, check=check)  # type: ignore[arg-type]
        assert ("there is no file" in said or "is not in" in said) if how == "gone" else "is damaged" in said
    if "blobs" in what:
        assert part.name in said


async def test_all_damaged_blobs_are_named_up_to_a_bound(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "FAULTS", 2)
    damaged = list(place.glob("blobs/*/*"))
    for blob in damaged:
        blob.write_bytes(b"")
    said = await refusal(place, tmp_path / "new")
    assert sum(blob.name in said for blob in damaged) == 2
    assert "and 1 more" in said


async def test_a_damaged_manifest_is_told(place: Path, tmp_path: Path) -> None:
    manifest = only(place, "backups/*/manifest.json")
    for body in (b"", b"{", b"[]", b"x" * 100_000, manifest.read_bytes().replace(b'"format": 1', b'"format": 2')):
        manifest.write_bytes(body)
        assert "damaged" in await refusal(place, tmp_path / "new")


async def test_a_backup_that_a_newer_asman_made_is_told(place: Path, tmp_path: Path) -> None:
    manifest = only(place, "backups/*/manifest.json")
    made = json.loads(manifest.read_bytes())
    manifest.write_text(json.dumps({**made, "schema": "9999"}))
    said = await refusal(place, tmp_path / "new", Misconfigured)
    assert "was written by a newer Asman (its schema is 9999" in said
    owner = json.loads((place / "owner.json").read_bytes())
    (place / "owner.json").write_text(json.dumps({**owner, "format": 2}))
    assert "are of a newer Asman (format 2)" in await refusal(place, tmp_path / "new", Conflict)


async def test_a_database_that_names_files_elsewhere_writes_none(place: Path, tmp_path: Path) -> None:
    database, manifest = only(place, "backups/*/hub.sqlite"), only(place, "backups/*/manifest.json")
    with closing(sqlite3.connect(database)) as opened, opened:
        opened.execute("UPDATE blobs SET place = '../../../outside' WHERE rowid = 1")
    part = part_of(database)
    made = {**json.loads(manifest.read_bytes()), "database": {"sha256": part.sha256, "size": part.size}}
    manifest.write_text(json.dumps(made))
    assert "has a place that no hub makes: ../../../outside" in await refusal(place, tmp_path / "new")
    assert not list(tmp_path.rglob("outside"))


async def test_places_without_a_backup_are_told(tmp_path: Path) -> None:
    assert "there is no backup in" in await refusal(tmp_path / "nowhere", tmp_path / "new", NotFound)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thing").touch()
    assert "holds other things than backups" in await refusal(tmp_path / "other", tmp_path / "new", Conflict)


# --------------------------------------------------------------------------------------------------- the data folder


async def test_data_that_is_there_is_replaced_only_on_request_and_kept(place: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with store_of_blobs(data, 1) as (hub, _):
        await hub.upload(b"later")
    before = files(data)
    said = await refusal(place, data, Conflict)
    assert "holds data already" in said
    ended = forked("restore", str(place), "--data-dir", str(data), "--replace", "--json", "--quiet")
    assert ended.code == 0, ended.said
    assert len(blobs_of(data)) == 3
    told = json.loads(ended.said)
    assert told["replaced"] == f"{data}.replaced-{told['backup']}"
    assert files(Path(told["replaced"])) == before
    assert "is there already: move it away" in await refusal(place, data, Conflict, replace=True)


async def test_an_empty_folder_and_one_with_locks_alone_are_filled(place: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "lock").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "real").mkdir()
    for name in ("empty", "locks", "link", "deep/er"):
        await restored(place, tmp_path / name)
        assert len(blobs_of(tmp_path / name)) == 3
    assert (tmp_path / "link").is_symlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        *("data", "deep", "empty", "link", "locks", "place", "real")
    ]


def test_a_folder_that_a_hub_uses_is_refused(
    hub_process: Callable[..., HubProcess], place: Path, tmp_path: Path
) -> None:
    hub = hub_process()
    ended = forked("restore", str(place), "--data-dir", str(hub.data), "--replace")
    assert ended.code == 125
    assert f"another hub (process {hub.pid}" in ended.said
    assert hub.healthy()
    assert not list(tmp_path.glob(".data-*"))


async def test_what_is_no_folder_of_a_hubs_own_is_refused(place: Path, tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Conflict, match="is not a folder"):
        await restored(place, tmp_path / "file")
    with pytest.raises(Conflict, match="is a mount point, which can't be replaced as a whole"):
        await restored(place, small_disk)


async def test_another_database_is_not_restored_into(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASMAN_DATABASE_URL", f"sqlite:///{tmp_path}/x.sqlite")
    assert "a backup is restored as SQLite in the data folder" in await refusal(place, tmp_path / "new", BadRequest)


async def test_a_file_system_that_can_not_exchange_folders_renames_them(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_EXCHANGE", 1 << 20)
    shutil.copytree(tmp_path / "data", tmp_path / "other")
    await restored(place, tmp_path / "other", replace=True)
    assert len(blobs_of(tmp_path / "other")) == 3
    assert len(list(tmp_path.glob("other.replaced-*"))) == 1


# ----------------------------------------------------------------------------------------------------------- killed


@pytest.mark.parametrize(
    ("function", "text", "number"),
    [
        ("asman_server.upkeep.objects:FolderObjects.write", "hub.sqlite", 1),
        ("asman_server.upkeep.objects:_write_all", "", 3),
        ("asman_server.upkeep.objects:FolderObjects.write", "/", 2),
        ("asman_server.upkeep.restore:_put", "", 1),
    ],
)
async def test_a_restore_that_is_killed_has_done_nothing_and_can_be_done_again(
    place: Path, tmp_path: Path, function: str, text: str, number: int
) -> None:
    new, old = tmp_path / "new", tmp_path / "data"
    before = files(old)
    words = ("restore", str(place), "--data-dir")
    await asyncio.to_thread(killed_at, function, text, *words, str(new), number=number)
    assert not new.exists()
    await asyncio.to_thread(killed_at, function, text, *words, str(old), "--replace", number=number)
    assert files(old) == before
    for folder in (new, old):
        await restored(place, folder, replace=True)
        assert len(blobs_of(folder)) == 3
    assert not list(tmp_path.glob(".*restoring"))


async def test_old_data_that_a_kill_left_aside_is_not_removed(place: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    before = blobs_of(data)
    (data / "blobs" / "mine").write_bytes(b"mine")
    await asyncio.to_thread(
        killed_at, "pathlib:Path.rename", ".restoring", "restore", str(place), "--data-dir", str(data), "--replace"
    )
    assert blobs_of(data) == before
    assert (tmp_path / ".data.restoring/blobs/mine").read_bytes() == b"mine"
    with pytest.raises(Conflict, match=r"\.data\.restoring holds the data that a restore"):
        await restored(place, data, replace=True)
    assert (tmp_path / ".data.restoring/blobs/mine").read_bytes() == b"mine"


async def test_bytes_are_those_that_were_stored(place: Path, tmp_path: Path) -> None:
    await restored(place, tmp_path / "new")
    assert files(tmp_path / "new/blobs") == {
        name: body for name, body in files(tmp_path / "data/blobs").items() if not name.startswith("incoming")
    }
    assert all(sha256(body) in name for name, body in files(tmp_path / "new/blobs").items())
    assert (tmp_path / "new/secret").read_bytes() == (tmp_path / "data/secret").read_bytes()
