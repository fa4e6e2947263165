"""The base image's root folder, without an engine."""

from __future__ import annotations

import io
import tarfile

import pytest

from devtools import base_image


@pytest.fixture(scope="module")
def packed() -> bytes:
    program = base_image.busybox()
    assert program is not None, "busybox-static is not installed; make setup installs it"
    return base_image.root_tar(program)


def test_holds_a_shell_accounts_and_a_shared_temporary_folder(packed: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getmember("bin/busybox").mode == 0o755
        assert tar.getmember("bin/sh").linkname == "busybox"
        assert tar.getmember("tmp").mode == 0o1777
        passwd = tar.extractfile("etc/passwd")
        assert passwd is not None
        assert passwd.read().startswith(b"root:x:0:0:")


def test_every_folder_comes_before_what_is_in_it(packed: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names))
    for place, name in enumerate(names):
        parent = name.rpartition("/")[0]
        assert not parent or parent in names[:place], name


def test_is_the_same_bytes_each_time(packed: bytes) -> None:
    program = base_image.busybox()
    assert program is not None
    assert base_image.root_tar(program) == packed
