"""Archives of strangers: unpacked within their folder and their limits, or refused in a sentence."""

from __future__ import annotations

import contextlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asman_shared.errors import ExecutionError
from asman_worker.builds.archives import Bounds, entries

BOUNDS = Bounds(1_000_000, 1000)


def made(tmp_path: Path, *members: tarfile.TarInfo, content: bytes = b"") -> Path:
    """A tar of hand-made members."""
    path = tmp_path / "made.tar"
    with tarfile.open(path, "w") as archive:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("hostile", "says"),
    [
        (member("../x"), "leads out"),
        (member("a/../../x"), "leads out"),
        (member("/etc/passwd"), "absolute"),
        (member("n" * 300), "longer than 255"),
        (member("pipe", tarfile.FIFOTYPE), "a device or a pipe"),
        (member("null", tarfile.CHRTYPE), "a device or a pipe"),
        (member("disk", tarfile.BLKTYPE), "a device or a pipe"),
        (member("a/link", tarfile.SYMTYPE, "../../etc"), "link that leads out"),
        (member("a/link", tarfile.SYMTYPE, "b/../../../x"), "link that leads out"),
        (member("hard", tarfile.LNKTYPE, "../../etc/passwd"), "leads out"),
        (member("hard", tarfile.LNKTYPE, "/etc/passwd"), "absolute"),
    ],
)
def test_what_would_escape_an_archive_is_refused(tmp_path: Path, hostile: tarfile.TarInfo, says: str) -> None:
    with pytest.raises(ExecutionError, match=says):
        list(entries(made(tmp_path, hostile), BOUNDS))


@pytest.mark.parametrize("target", ["../c", "/usr/bin/python3", "/../../x"])
def test_a_link_that_stays_inside_or_is_absolute_stays_a_link(tmp_path: Path, target: str) -> None:
    found = list(entries(made(tmp_path, member("a/b/link", tarfile.SYMTYPE, target)), BOUNDS))
    assert [(entry.kind, entry.name, entry.target) for entry in found] == [("link", "a/b/link", target)]


def windows_zip(path: Path, *names: str, system: int = 0) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.create_system = system
            archive.writestr(info, b"" if name.endswith(("\\", "/")) else b"x")
    return path


def test_folders_in_a_zip_that_was_made_on_windows_are_folders(tmp_path: Path) -> None:
    path = windows_zip(tmp_path / "a.zip", "dir\\", "dir\\sub\\file.txt", "dir/plain")
    found = [(entry.kind, entry.name) for entry in entries(path, BOUNDS)]
    assert found == [("folder", "dir"), ("file", "dir/sub/file.txt"), ("file", "dir/plain")]
    unix = windows_zip(tmp_path / "b.zip", "weird\\name", system=3)
    assert [entry.name for entry in entries(unix, BOUNDS)] == ["weird\\name"]


@pytest.mark.parametrize(
    ("name", "says"), [("..\\x", "leads out"), ("C:\\x", "absolute"), ("\\x", "absolute"), ("\\\\host\\x", "absolute")]
)
def test_what_would_escape_a_windows_zip_is_refused(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(ExecutionError, match=says):
        list(entries(windows_zip(tmp_path / "a.zip", name), BOUNDS))


def test_a_small_archive_can_not_grow_without_limit(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(2_000_000))
    assert path.stat().st_size < 10_000
    with pytest.raises(ExecutionError, match="holds more than"):
        list(entries(path, BOUNDS))
    many = tmp_path / "many.zip"
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(1001):
            archive.writestr(str(number), b"")
    with pytest.raises(ExecutionError, match="more than 1000 entries"):
        list(entries(many, BOUNDS))
    assert len(list(entries(many, Bounds(10, 1001)))) == 1001


def test_names_of_a_zip_are_judged_too(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    for name, data in (("../../x", b"x"), (link, b"../etc/passwd")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, data)
        with pytest.raises(ExecutionError, match="leads out"):
            list(entries(path, BOUNDS))


@given(st.binary(max_size=2000), st.sampled_from([b"", b"PK\3\4", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0"]))
def test_any_bytes_are_an_archive_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, head: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "archive"
    path.write_bytes(head + data)
    with contextlib.suppress(ExecutionError):
        assert isinstance(list(entries(path, BOUNDS)), list)
