"""The files that a build is given, and the hash of their content."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from asman_shared.errors import BadDefinition
from asman_worker.builds.archives import Bounds
from asman_worker.builds.context import OWN_DOCKERFILE, Context, Part, Wanted, complete, pack

BOUNDS = Bounds(1_000_000, 1000)


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def packed(tmp_path: Path, files: dict[str, str], wanted: Wanted) -> tuple[Context, dict[str, str]]:
    """What a context holds in the end."""
    source = tmp_path / "source.tar"
    with tarfile.open(source, "w") as archive:
        for name, text in files.items():
            info = member(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    out = io.BytesIO()
    context = pack([Part(source)], wanted, BOUNDS, out)
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        read: Callable[[tarfile.TarInfo], str] = lambda info: archive.extractfile(info).read().decode()  # type: ignore[union-attr]  # noqa: E731
        return context, {info.name: read(info) for info in archive if info.isreg()}


def test_a_subfolder_is_built_alone_and_its_dockerfile_may_lie_outside(tmp_path: Path) -> None:
    files = {"top/docker/Dockerfile": "FROM a", "top/sub/x": "1", "top/other": "2"}
    wanted = Wanted(subfolder="sub", filename="docker/Dockerfile", unwrap=True)
    context, inside = packed(tmp_path, files, wanted)
    assert context.text == "FROM a"
    assert inside == {"x": "1"}


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_dockerignore_names_is_left_out_whatever_system_wrote_it(tmp_path: Path, mark: str, ends: str) -> None:
    rules = mark + ends.join(["# a comment", "drop", "sub/*", "!sub/keep", ""])
    files = {"Dockerfile": "FROM a", ".dockerignore": rules, "sub/keep": "1", "sub/x": "2", "drop": "3"}
    context, inside = packed(tmp_path, files, Wanted())
    assert set(inside) == {"Dockerfile", ".dockerignore", "sub/keep"}
    assert context.ignore == rules


def test_the_first_line_of_dockerignore_counts_although_a_mark_is_before_it(tmp_path: Path) -> None:
    files = {"Dockerfile": "FROM a", ".dockerignore": "\ufeffdrop\n", "drop": "3"}
    assert set(packed(tmp_path, files, Wanted())[1]) == {"Dockerfile", ".dockerignore"}


def test_the_dockerfile_may_be_left_out_of_the_files_and_is_read_all_the_same(tmp_path: Path) -> None:
    files = {"Dockerfile": "FROM a", ".dockerignore": "*\n!keep", "keep/x": "1", "drop": "2"}
    context, inside = packed(tmp_path, files, Wanted())
    assert (context.text, inside) == ("FROM a", {"keep/x": "1"})


@pytest.mark.parametrize(
    ("ignore", "left_out"), [("", [OWN_DOCKERFILE, ".dockerignore"]), ("x", ["x", OWN_DOCKERFILE])]
)
def test_what_the_worker_adds_for_the_engine_replaces_what_has_its_name(
    tmp_path: Path, ignore: str, left_out: list[str]
) -> None:
    tar, fetched = tmp_path / "context.tar", tmp_path / "fetched"
    fetched.write_text("fetched")
    with tarfile.open(tar, "w") as archive:
        for name in (OWN_DOCKERFILE, ".asman-added"):
            archive.addfile(member(name, tarfile.SYMTYPE, "/etc/passwd"))
    complete(tar, "FROM b\n", ignore, [(".asman-added/0/x", fetched)])
    with tarfile.open(tar) as archive:
        last = {info.name: info for info in archive}
        assert all(info.isreg() or info.isdir() for info in last.values())
        read = {name: archive.extractfile(info).read().decode() for name, info in last.items() if info.isreg()}  # type: ignore[union-attr]
    assert read == {OWN_DOCKERFILE: "FROM b\n", ".dockerignore": "\n".join([*left_out, ""]),
                    ".asman-added/0/x": "fetched"}  # fmt: skip


def test_a_pattern_of_dockerignore_that_cannot_be_read_is_the_fault_of_the_job(tmp_path: Path) -> None:
    with pytest.raises(BadDefinition, match=r"line 1 of '\.dockerignore', the pattern '\[\^\]'"):
        packed(tmp_path, {"Dockerfile": "FROM a", ".dockerignore": "[^]"}, Wanted())


def test_the_content_hash_tells_every_change_and_nothing_else(tmp_path: Path) -> None:
    base = {"Dockerfile": "FROM a", "x": "1"}
    first = packed(tmp_path, base, Wanted())[0].content
    assert packed(tmp_path, base, Wanted())[0].content == first
    changed = [{**base, "x": "2"}, {**base, "y": ""}, {"Dockerfile": "FROM a", "x1": ""}]
    assert first not in {packed(tmp_path, files, Wanted())[0].content for files in changed}
