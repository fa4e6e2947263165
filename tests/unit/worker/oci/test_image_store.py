"""The store of images without an engine: what a layer may hold, what is shared, and what goes."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asman_shared.errors import ExecutionError
from asman_shared.units import MIB
from asman_worker.oci import image_store
from asman_worker.oci.file_lock import FileLock
from asman_worker.oci.image_store import ImageStore, StoredImage
from asman_worker.oci.manifests import Blob, Manifest, digest_of
from tests.unit.worker.oci.layers import Entry, files, layer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its root, as the unpacker does")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    made = ImageStore(tmp_path / "store")
    made.open()
    return made


def told_nothing(layers: int) -> None:
    del layers


async def put(store: ImageStore, *layers: bytes, packed: bool = True, name: str = "") -> StoredImage:
    """Puts an image into a store and unpacks it."""
    blobs: list[Blob] = []
    for each in layers:
        data = gzip.compress(each, 1, mtime=0) if packed else each
        blob = Blob(digest_of(data), len(data), "gzip" if packed else "none")
        store.partial(blob).write_bytes(data)
        store.keep(blob)
        blobs.append(blob)
    diffs = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]
    config = {"os": "linux", "architecture": "amd64", "config": {"Labels": {"name": name}}}
    settings = json.dumps({**config, "rootfs": {"type": "layers", "diff_ids": diffs}}).encode()
    described = Blob(digest_of(settings), len(settings))
    return await store.unpack(Manifest(digest_of(b"manifest"), described, tuple(blobs)), settings, told_nothing)


def tree(root: Path) -> set[str]:
    """The paths of all that is in a folder; links are not followed."""
    return {str(path.relative_to(root)) for path in root.rglob("*")}


async def test_layers_are_stacked_with_owners_modes_and_links(store: ImageStore) -> None:
    image = await put(
        store,
        layer(Entry("etc/", "folder", mode=0o755), Entry("etc/a", content="old", uid=7, mode=0o4751)),
        layer(Entry("./etc/b", content="b"), Entry("etc/same", "hard", "etc/a"), Entry("lib", "link", "/etc")),
        layer(Entry("lib/c", content="through the link")),
    )
    assert tree(image.root) == {"etc", "etc/a", "etc/b", "etc/same", "etc/c", "lib"}
    about = (image.root / "etc/a").stat()
    assert (about.st_uid, stat.S_IMODE(about.st_mode), about.st_nlink) == (7, 0o4751, 2)
    assert (image.root / "lib").readlink() == Path("/etc")
    assert (image.root / "etc/c").read_text() == "through the link"


async def test_a_layer_hides_what_is_below_it_and_nothing_of_itself(store: ImageStore) -> None:
    image = await put(
        store,
        layer(*files(["a/one", "a/two", "b/one", "b/deep/two", "c"])),
        layer(
            Entry("a/.wh.one"),
            Entry("b/new", content="new"),
            Entry("b/.wh..wh..opq"),
            Entry("c", content="new"),
            Entry(".wh.c"),
            Entry(".wh.never-there"),
        ),
    )
    assert tree(image.root) == {"a", "a/two", "b", "b/new", "c"}
    assert (image.root / "c").read_text() == "new"


async def test_what_replaces_something_of_another_kind_takes_its_place(store: ImageStore) -> None:
    image = await put(
        store,
        layer(*files(["folder/inside", "file"]), Entry("link", "link", "folder")),
        layer(Entry("folder", content="a file"), Entry("file", "folder", mode=0o700), Entry("link", content="plain")),
    )
    assert tree(image.root) == {"folder", "file", "link"}
    assert (image.root / "folder").read_text() == "a file"
    assert (image.root / "link").read_text() == "plain"
    assert not (image.root / "link").is_symlink()


async def test_devices_are_left_out_and_pipes_are_kept(store: ImageStore) -> None:
    image = await put(store, layer(Entry("dev/sda", "device"), Entry("pipe", "pipe"), Entry("x")))
    assert tree(image.root) == {"dev", "pipe", "x"}


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([Entry("../outside")], "leads out of the image by '..'"),
        ([Entry("a/../../outside")], "leads out of the image by '..'"),
        ([Entry("hard", "hard", "../../etc/passwd")], "leads out of the image by '..'"),
        ([Entry("hard", "hard", "not/there")], "leads to nothing"),
        ([Entry("a/.wh...")], "hides nothing that can be named"),
        ([Entry("file"), Entry("file/below")], "is no folder, but has files in it"),
        ([Entry("/".join("x" * 300))], "can't be a path"),
        ([Entry("x" * 300)], "an entry that can't be made"),
        ([Entry("owned", uid=2**40)], "an entry that can't be made"),
        ([Entry("empty", "link", "")], "an entry that can't be made"),
    ],
)
async def test_what_would_escape_or_can_not_be_is_refused(store: ImageStore, entries: list[Entry], why: str) -> None:
    with pytest.raises(ExecutionError, match="the image can't be unpacked") as refused:
        await put(store, layer(*entries))
    assert why in refused.value.message
    assert refused.value.fault == "job"
    assert list((store.path(Blob("sha256:x", 0)).parent.parent / "roots").iterdir()) == []


async def test_links_lead_nowhere_outside_of_the_root(store: ImageStore, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").write_text("kept")
    up = "../" * 30
    image = await put(
        store,
        layer(
            Entry("absolute", "link", str(victim)),
            Entry("upwards", "link", f"{up}{str(victim).lstrip('/')}"),
            Entry("itself", "link", "itself"),
        ),
        layer(Entry("absolute/.wh.kept"), Entry("upwards/.wh..wh..opq")),
    )
    with pytest.raises(ExecutionError):
        await put(store, layer(Entry("absolute", "link", str(victim)), Entry("absolute/new", content="x")))
    assert tree(victim) == {"kept"}
    assert {"absolute", "upwards", "itself"} <= tree(image.root)


@pytest.mark.parametrize("packed", [True, False])
async def test_other_bytes_than_the_settings_name_are_refused(store: ImageStore, packed: bool) -> None:
    data = layer(Entry("a", content="x"))
    sent = gzip.compress(data, 1, mtime=0) if packed else data
    blob = Blob(digest_of(sent), len(sent), "gzip" if packed else "none")
    store.partial(blob).write_bytes(sent)
    store.keep(blob)
    settings = json.dumps({"rootfs": {"diff_ids": [f"sha256:{'0' * 64}"]}}).encode()
    manifest = Manifest("sha256:" + "1" * 64, Blob(digest_of(settings), len(settings)), (blob,))
    with pytest.raises(ExecutionError, match="is not the one that its settings name"):
        await store.unpack(manifest, settings, told_nothing)


async def test_a_part_with_other_bytes_than_its_name_is_not_kept(store: ImageStore) -> None:
    blob = Blob("sha256:" + "0" * 64, 1)
    store.partial(blob).write_bytes(b"x")
    with pytest.raises(ExecutionError, match="other bytes than its name says"):
        store.keep(blob)
    assert not store.has(blob)
    assert not store.partial(blob).exists()


async def test_a_damaged_layer_is_told(store: ImageStore) -> None:
    data = gzip.compress(layer(*files([str(number) for number in range(100)])), 1, mtime=0)[:-20]
    blob = Blob(digest_of(data), len(data), "gzip")
    store.partial(blob).write_bytes(data)
    store.keep(blob)
    settings = json.dumps({"rootfs": {"diff_ids": [f"sha256:{'0' * 64}"]}}).encode()
    manifest = Manifest("sha256:" + "1" * 64, Blob(digest_of(settings), len(settings)), (blob,))
    with pytest.raises(ExecutionError, match="a layer of it is damaged"):
        await store.unpack(manifest, settings, told_nothing)


async def test_a_small_layer_can_not_grow_beyond_the_quota(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store", most=1024 * 1024)
    store.open()
    bomb = layer(Entry("zeros", content="\0" * 8 * 1024 * 1024))
    with pytest.raises(ExecutionError, match=r"it is larger than 1048576 bytes|there is room for 1048576"):
        await put(store, bomb)
    assert (await put(store, layer(Entry("zeros", content="\0" * 500_000)))).size >= 500_000


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 48 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_images_that_are_unpacked_at_the_same_time_share_the_room_and_none_is_lost(tiny_disk: Path) -> None:
    store = ImageStore(tiny_disk / "store", reserve=4 * MIB)
    store.open()
    # Each fits alone, and no two fit; whoever gives way comes again when the first is gone.
    layers = {name: layer(*(Entry(f"{name}{i}", content=name * 3 * MIB) for i in range(9))) for name in "abc"}
    free: list[int] = []

    async def one(name: str) -> None:
        image = await put(store, layers[name], name=name)
        assert image.size >= 27 * MIB
        free.append(shutil.disk_usage(tiny_disk).free)
        subprocess.run(["rm", "-r", str(image.root.parent)], check=True)

    async with asyncio.TaskGroup() as tasks:
        for name in layers:
            tasks.create_task(one(name))
    assert len(free) == 3
    assert min(free) >= 4 * MIB
    assert [path.name for path in (tiny_disk / "store" / "room").iterdir()] == ["account"]


async def test_an_image_that_fits_on_no_part_of_the_disk_is_refused_and_leaves_the_reserve_free(
    tiny_disk: Path,
) -> None:
    store = ImageStore(tiny_disk / "store", reserve=20 * MIB)
    store.open()
    with pytest.raises(ExecutionError, match="the worker's disk is full") as told:
        await put(store, layer(*(Entry(f"{i}", content="x" * 3 * MIB) for i in range(12))))
    assert told.value.fault == "worker"
    assert shutil.disk_usage(tiny_disk).free > 40 * MIB


async def test_the_entry_of_a_killed_unpacker_takes_no_room(store: ImageStore, tmp_path: Path) -> None:
    left = tmp_path / "store" / "room" / f"at-{1:020}-1"
    left.write_text(f"{2**61:020}")
    await put(store, layer(Entry("a")))
    assert not left.exists()


async def test_folders_that_are_made_on_the_way_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = "/".join("d" * 200)
    store = ImageStore(tmp_path / "store", most=400_000)
    store.open()
    with pytest.raises(ExecutionError, match="it is larger than 400000 bytes"):
        await put(store, layer(Entry(f"{deep}/file")))
    monkeypatch.setattr(image_store, "FILES", 100)
    with pytest.raises(ExecutionError, match="it has more than 100 files"):
        await put(ImageStore(tmp_path / "store"), layer(Entry(f"{deep}/other")))


async def test_a_header_of_any_size_takes_bounded_memory(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_store, "MEMORY", 100 * 1024 * 1024)
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 120 * 1024 * 1024
    data = header.tobuf(tarfile.PAX_FORMAT) + bytes(header.size)
    with pytest.raises(ExecutionError, match="it takes more than 104857600 bytes of memory"):
        await put(store, data)
    assert (await put(store, layer(Entry("a")))).root.is_dir()


async def test_an_image_is_unpacked_once_for_all_that_want_it(store: ImageStore) -> None:
    data = layer(Entry("a", content="x"))
    images = await asyncio.gather(*(put(store, data) for _ in range(4)))
    assert len({image.root for image in images}) == 1
    holding = [store.hold(image) for image in images]
    assert all(holding)
    # One that is in use does not keep another from finding it.
    assert (await put(store, data)).root == images[0].root
    for lock in holding:
        assert lock is not None
        lock.close()


def used(store: ImageStore, image: StoredImage, when: float) -> None:
    """Sets the time of an image's last use."""
    os.utime(image.lock, (when, when))
    for lock in image.lock.parent.glob("blob-*"):
        os.utime(lock, (when, when))


async def made(store: ImageStore, count: int) -> list[StoredImage]:
    """Several images of about a megabyte, the first used the longest ago."""
    images = []
    for number in range(count):
        image = await put(store, layer(Entry("x", content=chr(97 + number) * 1_000_000)), name=str(number))
        os.utime(image.lock, (1000.0 + number, 1000.0 + number))
        images.append(image)
    return images


async def test_over_the_quota_the_least_recently_used_goes_and_what_is_in_use_stays(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store", most=2_500_000)
    store.open()
    first, second, third, fourth = await made(store, 4)
    held = store.hold(first)
    assert held is not None
    os.utime(first.lock, (1000.0, 1000.0))
    store.trim()
    assert [image.root.exists() for image in (first, second, third, fourth)] == [True, False, True, True]
    assert store.hold(second) is None
    held.close()
    store.trim()
    assert not first.root.exists()
    assert len(list((tmp_path / "store" / "locks").glob("root-*"))) == 2


async def test_what_is_unused_for_long_goes(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store", age=3600)
    store.open()
    old, fresh = await made(store, 2)
    os.utime(fresh.lock)
    assert store.trim() < 1_100_000
    assert (old.root.exists(), fresh.root.exists()) == (False, True)


async def test_leftovers_of_killed_processes_go_and_those_at_work_stay(store: ImageStore, tmp_path: Path) -> None:
    left, at_work = (tmp_path / "store" / "roots" / f"{name}.new" for name in ("a" * 64, "b" * 64))
    for folder in (left, at_work):
        (folder / "rootfs").mkdir(parents=True)
    lock = FileLock.take(store.lock_of(f"sha256:{'b' * 64}"), exclusive=True)
    assert lock is not None
    store.trim()
    assert (left.exists(), at_work.exists()) == (False, True)
    lock.close()


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_lock_whose_file_was_removed_excludes_nobody_and_is_not_given(
    tmp_path: Path, exclusive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    opened: list[int] = []
    real: Callable[..., int] = os.open

    def opening(*words: object) -> int:
        file = real(*words)
        if not opened:
            path.unlink()  # its last holder removes it just before it is locked
        opened.append(file)
        return file

    monkeypatch.setattr(os, "open", opening)
    lock = FileLock.take(path, exclusive=exclusive)
    assert lock is not None
    assert len(opened) == 2
    assert path.exists()
    assert (FileLock.take(path, exclusive=True) is None) is True
    lock.close()
