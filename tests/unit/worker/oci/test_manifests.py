from __future__ import annotations

import json
from typing import Any

import pytest

from asman_worker.oci.manifests import (
    INDEXES,
    LAYERS,
    MANIFESTS,
    Choice,
    Manifest,
    Unreadable,
    fits,
    read_manifest,
    read_settings,
    select,
)

ONE = f"sha256:{'1' * 64}"
TWO = f"sha256:{'2' * 64}"


def document(**more: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, **more}).encode()


def entry(digest: str, **platform: str) -> dict[str, Any]:
    return {"mediaType": MANIFESTS[0], "digest": digest, "size": 5, "platform": platform}


def a_layer(kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": TWO, "size": 7}


@pytest.mark.parametrize(
    ("kind", "compression"),
    [
        ("application/vnd.oci.image.layer.v1.tar", "none"),
        ("application/vnd.oci.image.layer.v1.tar+gzip", "gzip"),
        ("application/vnd.oci.image.layer.v1.tar+zstd", "zstd"),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip"),
    ],
)
def test_a_manifest_names_settings_and_layers(kind: str, compression: str) -> None:
    found = read_manifest(document(mediaType=MANIFESTS[0], config={"digest": ONE, "size": 3}, layers=[a_layer(kind)]))
    assert isinstance(found, Manifest)
    assert (found.settings.digest, found.settings.size) == (ONE, 3)
    assert [(each.digest, each.size, each.compression) for each in found.layers] == [(TWO, 7, compression)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        document(),
        document(mediaType="application/x-other", config={"digest": ONE, "size": 3}, layers=[]),
        document(config={"digest": "sha512:1", "size": 3}, layers=[]),
        document(config={"digest": ONE, "size": -1}, layers=[]),
        document(manifests=[{"digest": ONE, "size": 3, "platform": "linux"}]),
        document(config={"digest": ONE, "size": "3"}, layers=[]),
        document(config={"digest": f"sha256:{'../' * 21}x", "size": 3}, layers=[]),
        document(config={"digest": ONE, "size": 3}, layers=[a_layer("application/x-other")]),
        document(
            config={"digest": ONE, "size": 3},
            layers=[a_layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")],
        ),
        document(
            config={"digest": ONE, "size": 3},
            layers=[a_layer("application/vnd.oci.image.layer.v1.tar")] * (LAYERS + 1),
        ),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        read_manifest(data)


def test_of_an_index_the_platform_is_chosen_and_the_same_variant_first() -> None:
    entries = [
        entry(ONE, os="linux", architecture="arm64", variant="v8"),
        entry(TWO, os="linux", architecture="amd64"),
        {**entry(ONE, os="unknown", architecture="unknown"), "annotations": {}},
    ]
    choices = read_manifest(document(mediaType=INDEXES[0], manifests=entries))
    assert isinstance(choices, list)
    assert select(choices, "linux/amd64") == Choice(TWO, "linux/amd64")
    assert select(choices, "linux/arm64") == Choice(ONE, "linux/arm64/v8")
    assert select(choices, "linux/s390x") is None
    arms = [Choice(ONE, "linux/arm/v6"), Choice(TWO, "linux/arm/v7")]
    assert select(arms, "linux/arm/v7") == arms[1]
    assert select(arms, "linux/arm/v5") is None


def test_an_image_fits_a_platform_whose_variant_only_one_of_them_names() -> None:
    assert fits("linux/arm64/v8", "linux/arm64")
    assert fits("linux/arm64", "linux/arm64/v8")
    assert not fits("linux/arm/v6", "linux/arm/v7")
    assert not fits("windows/amd64", "linux/amd64")


def test_settings_are_read_and_volumes_cleaned() -> None:
    found = read_settings(
        json.dumps(
            {
                "os": "linux",
                "architecture": "arm64",
                "variant": "v8",
                "rootfs": {"type": "layers", "diff_ids": [ONE]},
                "config": {
                    "User": "me",
                    "Env": ["A=1", "B=x=y", "EMPTY"],
                    "Cmd": ["run"],
                    "Entrypoint": None,
                    "WorkingDir": "/w",
                    "Volumes": {"/data/": {}, "//x//y": {}, "/data": {}},
                },
            }
        ).encode()
    )
    assert (found.platform, found.user, found.workdir) == ("linux/arm64/v8", "me", "/w")
    assert found.env == (("A", "1"), ("B", "x=y"), ("EMPTY", ""))
    assert (found.command, found.entrypoint, found.volumes) == (("run",), (), ("/data", "/x/y"))


@pytest.mark.parametrize(
    "inner",
    [
        {"config": [1]},
        {"rootfs": {"diff_ids": ["sha256:short"]}},
        {"rootfs": {"diff_ids": [ONE] * (LAYERS + 1)}},
        {"rootfs": {"diff_ids": [1]}},
        {"config": {"Env": "A=1"}},
        {"config": {"Cmd": {"a": 1}}},
        {"config": {"WorkingDir": "/a\0"}},
        {"config": {"Env": ["A=\0"]}},
        {"config": {"Volumes": {str(number): {} for number in range(501)}}},
    ],
)
def test_settings_of_another_form_are_refused(inner: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        read_settings(json.dumps(inner).encode())
