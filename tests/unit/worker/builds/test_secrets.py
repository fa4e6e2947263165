"""Secrets of builds: read from one file alone, and masked wherever they show."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asman_shared.definition import Build
from asman_shared.errors import AsmanError, BadDefinition, BadRequest, ExecutionError
from asman_worker.builds.secrets import BuildSecrets, Masker, split_args
from asman_worker.builds.source import parse_source


def test_arguments_without_a_value_are_secrets() -> None:
    assert split_args(["A=1", "B=", "TOKEN", "TOKEN"]) == ({"A": "1", "B": ""}, ["TOKEN"])
    for bad in ("", "=x", "A B", "A-B=1", "../x"):
        with pytest.raises(BadDefinition):
            split_args([bad])


def test_a_secret_is_read_from_its_file_and_from_no_other(tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "TOKEN").write_text("value\n")
    (tmp_path / "outside").write_text("x")
    secrets = BuildSecrets(tmp_path / "held", ["TOKEN=build:*"])
    assert secrets.get("TOKEN") == "value"
    for name in ("NONE", "../outside", ".", ""):
        with pytest.raises(AsmanError):
            secrets.get(name)


BOUND = "https://git.example/mine/app.git"


@pytest.mark.parametrize(
    ("build", "may"),
    [
        (Build(context=BOUND), True),
        (Build(context=f"{BOUND}#main:sub", filename="x", target="y", platform="linux/amd64"), True),
        (Build(context="https://GIT.example:443/mine/app.git"), True),
        (Build(context="https://git.example/other/app.git"), False),
        (Build(context="https://git.example.evil/mine/app.git"), False),
        (Build(context="https://evil.example/git.example/mine/app.git"), False),
        (Build(context="http://git.example/mine/app.git"), False),
        (Build(dockerfile="FROM a"), False),
        (Build(context=BOUND, dockerfile="FROM a"), False),
        (Build(context=f"key:{'a' * 64}"), False),
        (Build(context=BOUND, build_args=["BASE=evil/image"]), False),
        (Build(context=f"{BOUND}#{'b' * 40}"), False),
        (Build(context=f"git+https://git.example/mine/app/commit/{'b' * 40}"), False),
        (Build(context=f"git+https://git.example/mine/app/tree/{'b' * 40}/sub"), False),
        (Build(context="https://git.example/mine/app/archive/refs/pull/7/head.tar.gz"), False),
    ],
)
def test_a_secret_is_for_builds_that_its_sources_own_writers_decide(tmp_path: Path, build: Build, may: bool) -> None:
    (tmp_path / "TOKEN").write_text("value")
    secrets = BuildSecrets(tmp_path, ["TOKEN=build:https://git.example/mine/*"])
    source = parse_source(build.context) if build.context else None
    args, _ = split_args(build.build_args or ())
    if may:
        secrets.check("TOKEN", build, source, more_args=bool(args))
        return
    for name in ("TOKEN", "NONE"):
        with pytest.raises(ExecutionError, match=f"the secret '{name}', which this worker does not hold for it"):
            secrets.check(name, build, source, more_args=bool(args))


@pytest.mark.parametrize(
    ("pattern", "build", "may"),
    [
        ("build:", Build(dockerfile="FROM a", build_args=["A=b"]), True),
        ("build:", Build(context=BOUND, dockerfile="FROM a"), True),
        ("build:", Build(context=BOUND), False),
        ("build:key:*", Build(context=f"key:{'a' * 64}", build_args=["A=b"]), True),
        ("build:key:*", Build(dockerfile="FROM a"), False),
        ("build:*", Build(context=f"key:{'a' * 64}"), True),
        ("build:*", Build(dockerfile="FROM a"), True),
        ("build:https://h.example/x.tgz", Build(context="https://h.example/x.tgz"), True),
        ("build:https://*.example/x/*", Build(context="https://git.example/x/y.git"), True),
        ("build:https://*.example/x/*", Build(context="https://evil.org/a.example/x/y.git"), False),
    ],
)
def test_text_and_uploads_get_a_secret_only_if_the_operator_says_so(
    tmp_path: Path, pattern: str, build: Build, may: bool
) -> None:
    (tmp_path / "TOKEN").write_text("value")
    secrets = BuildSecrets(tmp_path, [f"TOKEN={pattern}"])
    source = parse_source(build.context) if build.context else None
    args, _ = split_args(build.build_args or ())
    try:
        secrets.check("TOKEN", build, source, more_args=bool(args))
    except ExecutionError:
        assert not may
    else:
        assert may


@pytest.mark.parametrize(
    "bindings",
    [
        [],
        ["TOKEN"],
        ["TOKEN=https://h/x"],
        ["TOKEN=build:h/x"],
        ["TOKEN=build:https://*"],
        ["=build:*"],
        ["A-B=build:*"],
    ],
)
def test_secrets_that_are_bound_to_nothing_are_refused_at_the_start(tmp_path: Path, bindings: list[str]) -> None:
    with pytest.raises(BadRequest):
        BuildSecrets(tmp_path, bindings)
    with pytest.raises(BadRequest, match="--secrets"):
        BuildSecrets(None, ["TOKEN=build:*"])


def test_a_secret_as_windows_writes_it_has_neither_mark_nor_line_end(tmp_path: Path) -> None:
    (tmp_path / "TOKEN").write_bytes(b"\xef\xbb\xbfvalue\r\n")
    assert BuildSecrets(tmp_path, ["TOKEN=build:*"]).get("TOKEN") == "value"


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
