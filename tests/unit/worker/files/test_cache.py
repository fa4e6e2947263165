from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from asman_worker.files.cache import FileCache


def kept(cache: FileCache, tmp_path: Path, data: bytes, age: float = 0) -> str:
    """Puts bytes into a cache, as if that was so many seconds ago."""
    sha256 = hashlib.sha256(data).hexdigest()
    source = tmp_path / f"source-{sha256[:8]}"
    source.write_bytes(data)
    cache.keep(sha256, source)
    path = tmp_path / "cache" / sha256
    if path.exists():
        then = time.time() - age
        os.utime(path, (then, then))
    return sha256


def test_what_was_used_last_stays_longest(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", most=250)
    old, used, new = (kept(cache, tmp_path, bytes([n]) * 100, age) for n, age in ((1, 300), (2, 200), (3, 0)))
    assert not cache.copy_to(old, tmp_path / "a")
    assert cache.copy_to(used, tmp_path / "b")
    assert cache.copy_to(new, tmp_path / "c")
    assert cache.trim() == 200
    newest = kept(cache, tmp_path, b"4" * 100)
    assert [cache.copy_to(each, tmp_path / each) for each in (used, newest)].count(True) >= 1
    assert cache.trim() <= 250


def test_what_nobody_used_for_long_goes(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", most=1000, age=60)
    old, young = kept(cache, tmp_path, b"old", 61), kept(cache, tmp_path, b"young", 30)
    cache.trim()
    assert (cache.copy_to(old, tmp_path / "a"), cache.copy_to(young, tmp_path / "b")) == (False, True)


def test_what_is_larger_than_all_of_it_is_not_kept(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", most=10)
    small = kept(cache, tmp_path, b"x" * 10)
    assert not cache.copy_to(kept(cache, tmp_path, b"y" * 11), tmp_path / "a")
    assert cache.copy_to(small, tmp_path / "b")
    nothing = FileCache(tmp_path / "none", most=0)
    assert not nothing.copy_to(kept(nothing, tmp_path, b"z"), tmp_path / "c")


def test_bytes_that_are_not_what_their_name_says_are_never_kept_nor_handed_out(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", most=1000)
    source = tmp_path / "source"
    source.write_bytes(b"poison")
    good = hashlib.sha256(b"good").hexdigest()
    cache.keep(good, source)
    assert not cache.copy_to(good, tmp_path / "a")
    whole = kept(cache, tmp_path, b"whole")
    (tmp_path / "cache" / whole).write_bytes(b"damaged")
    assert not cache.copy_to(whole, tmp_path / "b")
    assert not (tmp_path / "b").exists()
    cache.keep("../../escape", source)
    assert not (tmp_path.parent / "escape").exists()


def test_a_copy_can_be_changed_without_changing_what_is_kept(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", most=1000)
    sha256 = kept(cache, tmp_path, b"data")
    assert cache.copy_to(sha256, tmp_path / "a")
    (tmp_path / "a").write_bytes(b"changed")
    assert cache.copy_to(sha256, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"data"


def test_what_an_interrupted_copy_left_is_gone_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "half.new").touch()
    FileCache(tmp_path / "cache", most=1)
    assert list((tmp_path / "cache").iterdir()) == []
