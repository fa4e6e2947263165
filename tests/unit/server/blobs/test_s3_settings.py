"""Which settings say where blobs are, and how much room they have."""

from __future__ import annotations

from typing import Any

import pytest

from asman_server.blobs.quota import UPLOADS, Quota
from asman_server.blobs.s3_settings import S3Settings
from asman_server.config import load_config
from asman_server.hub import s3_settings
from asman_shared.errors import BadRequest, Overloaded, QuotaExceeded


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BLOBS", "S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_REGION", "BLOB_RETENTION", "RETENTION"):
        monkeypatch.delenv(f"ASMAN_{name}", raising=False)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)


def test_blobs_are_in_a_folder_unless_a_bucket_is_named() -> None:
    assert s3_settings(load_config()) is None
    assert s3_settings(load_config(blobs="s3://bucket")) == S3Settings("bucket")
    made = s3_settings(load_config(blobs="s3://bucket/some/where/", s3_endpoint="https://s3.example:9000"))
    assert made == S3Settings("bucket", "some/where", "https://s3.example:9000", path_style=True)


def test_the_variables_of_aws_count_when_ours_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://aws.example")
    monkeypatch.setenv("ASMAN_S3_ACCESS_KEY", "me")
    monkeypatch.setenv("ASMAN_S3_SECRET_KEY", "sesame")
    config = load_config(blobs="s3://bucket", s3_path_style=False)
    made = s3_settings(config)
    assert made == S3Settings("bucket", "", "https://aws.example", "", "eu-north-1", "me", "sesame", path_style=False)
    assert "sesame" not in f"{config!r} {made!r}"
    made = s3_settings(load_config(blobs="s3://bucket", s3_region="here", s3_endpoint="https://ours.example"))
    assert made is not None
    assert (made.region, made.endpoint) == ("here", "https://ours.example")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("blobs", "gs://bucket", "write s3://bucket"),
        ("blobs", "s3://", "write s3://bucket"),
        ("blobs", "s3://bucket/../x", "not made of plain words"),
        ("blobs", "s3://bucket/" + "p" * 201, "not made of plain words"),
        ("s3_endpoint", "localhost:9000", "write it like https://"),
        ("blob_quota", "50", "unit"),
        ("blob_retention", "soon", "soon"),
        ("blob_retention", "59s", "1m at least"),
    ],
)
def test_a_wrong_setting_is_said(name: str, value: str, said: str) -> None:
    flags: dict[str, Any] = {name: value}
    with pytest.raises(BadRequest, match=said) as caught:
        load_config(**flags)
    assert caught.value.field == name


def test_blobs_are_kept_as_long_as_jobs_unless_said_otherwise() -> None:
    assert load_config(retention="3d").blob_retention_ms == 3 * 24 * 3_600_000
    assert load_config(retention="3d", blob_retention="2h").blob_retention_ms == 2 * 3_600_000
    assert load_config(retention="1s").blob_retention_ms == 60_000


def test_room_counts_what_is_stored_promised_and_arriving() -> None:
    quota = Quota(100)
    quota.stored(40)
    quota.open("a", 30)
    with quota.receiving(30):
        with pytest.raises(QuotaExceeded, match="0 B left, too little for 1 B"):
            quota.need(1)
        quota.need(0)
    quota.need(30)
    quota.end("a")
    quota.end("a")
    quota.need(60)
    with pytest.raises(QuotaExceeded):
        quota.need(61)
    quota.removed(40)
    quota.need(100)
    Quota().need(2**60)


def test_uploads_in_progress_are_bounded() -> None:
    quota = Quota()
    quota.need_uploads(UPLOADS)
    quota.open("a", 1)
    with pytest.raises(Overloaded):
        quota.need_uploads(UPLOADS)
