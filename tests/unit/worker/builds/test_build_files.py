"""What builds are made of, without an engine: hostile archives, left-out files, Dockerfiles, sources and secrets."""

from __future__ import annotations

import base64
import contextlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asman_shared.dockerignore import DockerIgnore
from asman_shared.errors import AsmanError, BadDefinition, ExecutionError
from asman_worker.builds.archives import Bounds, entries
from asman_worker.builds.context import OWN_DOCKERFILE, Context, Part, Wanted, pack
from asman_worker.builds.dockerfile import Base, bases
from asman_worker.builds.secrets import BuildSecrets, Masker, split_args
from asman_worker.builds.source import ArchiveSource, BlobSource, GitSource, parse_source

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
        (member("link", tarfile.SYMTYPE, "/etc/passwd"), "link that leads out"),
        (member("a/link", tarfile.SYMTYPE, "../../etc"), "link that leads out"),
        (member("a/link", tarfile.SYMTYPE, "b/../../../x"), "link that leads out"),
        (member("hard", tarfile.LNKTYPE, "../../etc/passwd"), "leads out"),
        (member("hard", tarfile.LNKTYPE, "/etc/passwd"), "absolute"),
    ],
)
def test_what_would_escape_an_archive_is_refused(tmp_path: Path, hostile: tarfile.TarInfo, says: str) -> None:
    with pytest.raises(ExecutionError, match=says):
        list(entries(made(tmp_path, hostile), BOUNDS))


def test_a_link_that_stays_inside_stays_a_link(tmp_path: Path) -> None:
    found = list(entries(made(tmp_path, member("a/b/link", tarfile.SYMTYPE, "../c")), BOUNDS))
    assert [(entry.kind, entry.name, entry.target) for entry in found] == [("link", "a/b/link", "../c")]


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
    for name, data in (("../../x", b"x"), (link, b"/etc/passwd")):
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


def packed(tmp_path: Path, files: dict[str, str], wanted: Wanted) -> tuple[Context, dict[str, str]]:
    """What a context holds in the end."""
    source = tmp_path / "source.tar"
    with tarfile.open(source, "w") as archive:
        for name, text in files.items():
            info = member(name)
            info.size = len(text)
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
    assert (context.dockerfile, context.text) == (OWN_DOCKERFILE, "FROM a")
    assert inside == {"x": "1", OWN_DOCKERFILE: "FROM a"}


def test_what_dockerignore_names_is_left_out_but_never_the_dockerfile(tmp_path: Path) -> None:
    files = {"Dockerfile": "FROM a", ".dockerignore": "*\n!keep", "keep/x": "1", "drop": "2"}
    _, inside = packed(tmp_path, files, Wanted())
    assert inside == {"Dockerfile": "FROM a", "keep/x": "1"}


def test_the_content_hash_tells_every_change_and_nothing_else(tmp_path: Path) -> None:
    base = {"Dockerfile": "FROM a", "x": "1"}
    first = packed(tmp_path, base, Wanted())[0].content
    assert packed(tmp_path, base, Wanted())[0].content == first
    changed = [{**base, "x": "2"}, {**base, "y": ""}, {"Dockerfile": "FROM a", "x1": ""}]
    assert first not in {packed(tmp_path, files, Wanted())[0].content for files in changed}


@pytest.mark.parametrize(
    ("rules", "dropped", "kept"),
    [
        ("*.log", ["a.log"], ["sub/a.log", "a.txt"]),
        ("**/*.log", ["a.log", "x/y/a.log"], ["a.txt"]),
        ("node_modules", ["node_modules", "node_modules/x/y"], ["sub/node_modules"]),
        ("/a\n", ["a", "a/b"], ["b/a"]),
        ("*\n!keep\nkeep/not", ["x", "keep/not"], ["keep", "keep/x"]),
        ("a?c", ["abc"], ["ac", "a/c"]),
        ("[ab].txt", ["a.txt"], ["c.txt"]),
        ("# comment\n\n", [], ["# comment", "x"]),
        ("a/**/z", ["a/z", "a/b/c/z"], ["z"]),
        ("../x", [], ["x"]),
        ("***\n", ["x"], []),
    ],
)
def test_rules_of_dockerignore(rules: str, dropped: list[str], kept: list[str]) -> None:
    ignore = DockerIgnore(rules)
    assert [name for name in dropped if not ignore.drops(name)] == []
    assert [name for name in kept if ignore.drops(name)] == []


def test_the_images_of_a_dockerfile_are_known_before_it_is_built() -> None:
    text = (
        "# syntax=docker/dockerfile:1\n# a comment\nARG BASE=alpine\nARG TAG=3\n"
        "FROM --platform=linux/arm64 ${BASE}:$TAG AS build\nRUN x \\\n  FROM not-one\n"
        "FROM build AS next\nfrom scratch\nCOPY --from=build / /\nCOPY --chown=a --from=hub.example/me/tool:v1 / /\n"
        "COPY --from=0 / /\nFROM ${NONE:-debian}\n"
    )
    assert bases(text, {"TAG": "4"}) == [
        Base("alpine:4", "linux/arm64"),
        Base("hub.example/me/tool:v1"),
        Base("debian"),
    ]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("key:" + "a" * 64, BlobSource("a" * 64)),
        ("https://github.com/o/r", GitSource("https://github.com/o/r")),
        ("https://github.com/o/r.git#v1:sub/x", GitSource("https://github.com/o/r.git", "v1", "sub/x")),
        ("https://github.com/o/r/tree/main/sub", GitSource("https://github.com/o/r", page="main/sub")),
        ("https://gitlab.com/g/s/r/-/tree/main", GitSource("https://gitlab.com/g/s/r", page="main")),
        ("https://github.com/o/r/commit/" + "b" * 40, GitSource("https://github.com/o/r", "b" * 40)),
        (
            "https://github.com/o/r/archive/refs/heads/x.tar.gz",
            ArchiveSource("https://github.com/o/r/archive/refs/heads/x.tar.gz"),
        ),
        ("https://host.example/x.zip?token=1", ArchiveSource("https://host.example/x.zip?token=1")),
        ("https://host.example/download/7", ArchiveSource("https://host.example/download/7")),
        ("git+https://host.example/x", GitSource("https://host.example/x")),
        ("https://host.example/x.git", GitSource("https://host.example/x.git")),
    ],
)
def test_a_context_is_read_as_people_write_it(text: str, source: object) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(
    "text",
    ["/etc", "file:///etc", "ssh://h/x", "git@github.com:o/r.git", "key:abc", "https://", "https://u:p@h/x.git",
     "x" * 5000, "https://h:port/x", "https://github.com/o/r#-x", "https://github.com/o/r#a..b", "ext::sh -c x"],
)  # fmt: skip
def test_a_context_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadDefinition):
        parse_source(text)


def test_arguments_without_a_value_are_secrets() -> None:
    assert split_args(["A=1", "B=", "TOKEN", "TOKEN"]) == ({"A": "1", "B": ""}, ["TOKEN"])
    for bad in ("", "=x", "A B", "A-B=1", "../x"):
        with pytest.raises(BadDefinition):
            split_args([bad])


def test_a_secret_is_read_from_its_file_and_from_no_other(tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "TOKEN").write_text("value\n")
    (tmp_path / "outside").write_text("x")
    secrets = BuildSecrets(tmp_path / "held")
    assert secrets.get("TOKEN") == "value"
    for name in ("NONE", "../outside", ".", ""):
        with pytest.raises(AsmanError):
            secrets.get(name)


@given(
    st.text(min_size=4, max_size=30),
    st.lists(st.integers(1, 9), max_size=40),
    st.text(max_size=30),
    st.text(max_size=30),
)
def test_a_secret_is_masked_wherever_the_pieces_are_cut(secret: str, cuts: list[int], before: str, after: str) -> None:
    masker = Masker({"X": secret})
    text = f"{before}{secret}{after}"
    shown, at = "", 0
    for cut in cuts:
        shown += masker.feed(text[at : at + cut])
        at += cut
    shown += masker.feed(text[at:]) + masker.rest()
    assert secret not in shown.replace("***", "\0")
    assert masker.all(base64.b64encode(secret.encode()).decode()) == "***"
