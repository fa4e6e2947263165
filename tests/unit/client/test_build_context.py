from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from asman.build_context import pack_folder
from asman.definitions import make
from asman_shared.errors import BadDefinition
from asman_shared.transfer import Blob


def names(blob: Blob) -> dict[str, str]:
    """The names in an archive, with the targets of links."""
    assert callable(blob.source)
    with os.fdopen(blob.source(), "rb") as file, tarfile.open(fileobj=file) as tar:
        return {info.name: info.linkname for info in tar}


def folder(place: Path) -> Path:
    (place / "sub").mkdir(parents=True)
    (place / "Dockerfile").write_text("FROM scratch")
    (place / "sub" / "x").write_text("1")
    (place / "link").symlink_to("sub/x")
    (place / "big").write_text("not wanted")
    (place / ".dockerignore").write_text("big\nDockerfile\n")
    return place


def test_the_same_files_are_the_same_archive_whenever_they_were_written(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "one"), folder(tmp_path / "two")
    os.utime(two / "sub" / "x", (1, 1))
    (context, blob), (again, _) = pack_folder(one), pack_folder(two)
    assert context == again == f"key:{blob.sha256}"
    (two / "sub" / "x").write_text("2")
    assert pack_folder(two)[0] != context


def test_what_is_ignored_stays_here_but_the_dockerfile_goes_and_links_are_links(tmp_path: Path) -> None:
    _, blob = pack_folder(folder(tmp_path / "f"))
    assert names(blob) == {".dockerignore": "", "Dockerfile": "", "link": "sub/x", "sub": "", "sub/x": ""}


def test_a_dockerignore_as_windows_writes_it_means_the_same(tmp_path: Path) -> None:
    place = folder(tmp_path / "f")
    (place / ".dockerignore").write_bytes(b"\xef\xbb\xbfbig\r\nsub\r\n")
    assert set(names(pack_folder(place)[1])) == {".dockerignore", "Dockerfile", "link"}


def test_a_path_as_context_becomes_the_archive_and_goes_with_the_job(tmp_path: Path) -> None:
    definition, blobs = make(None, {"build": {"context": folder(tmp_path / "f"), "target": "a"}, "command": "true"})
    assert definition.build is not None
    assert definition.build.target == "a"
    assert [f"key:{sha256}" for sha256 in blobs] == [definition.build.context]


def test_a_folder_that_can_not_be_packed_is_a_clear_word(tmp_path: Path) -> None:
    with pytest.raises(BadDefinition, match="can't be packed"):
        pack_folder(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadDefinition, match="neither a file"):
        pack_folder(tmp_path)


def test_a_pattern_of_dockerignore_that_cannot_be_read_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    place = folder(tmp_path / "f")
    (place / ".dockerignore").write_text("big\n[z-a]\n")
    with pytest.raises(BadDefinition, match=r"line 2 of '\.dockerignore', the pattern '\[z-a\]'") as error:
        pack_folder(place)
    assert error.value.field == "definition.build.context"
