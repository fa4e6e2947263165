"""Secrets of builds: read from one file alone, and masked wherever they show."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asman_shared.errors import AsmanError, BadDefinition
from asman_worker.builds.secrets import BuildSecrets, Masker, split_args


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
