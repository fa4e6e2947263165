"""Images in files: OCI layouts, as folders and archives, and what ``docker save`` writes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from asman_shared.errors import BadRequest, ExecutionError
from asman_worker.images.reference import ImageReference
from asman_worker.oci.image_store import ImageStore
from asman_worker.oci.local_images import LocalImages, load_parts
from asman_worker.oci.manifests import digest_of
from devtools import base_image
from tests.unit.worker.oci.layers import Entry, layer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


class Layout:
    """An OCI layout that a test writes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}

    def blob(self, data: bytes, kind: str) -> dict[str, Any]:
        digest = digest_of(data)
        self.files[f"blobs/sha256/{digest.removeprefix('sha256:')}"] = data
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    def image(self, arch: str = "amd64", content: str = "x") -> dict[str, Any]:
        data = layer(Entry("file", content=content))
        diff = f"sha256:{hashlib.sha256(data).hexdigest()}"
        settings = {"os": "linux", "architecture": arch, "rootfs": {"type": "layers", "diff_ids": [diff]}}
        config = self.blob(json.dumps(settings).encode(), "application/vnd.oci.image.config.v1+json")
        layers = [self.blob(gzip.compress(data, mtime=0), LAYER)]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        return self.blob(json.dumps(manifest).encode(), MANIFEST)

    def index(self, *entries: dict[str, Any]) -> None:
        self.files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": list(entries)}).encode()

    def write(self, path: Path, *, archive: bool) -> Path:
        if archive:
            with tarfile.open(path, "w") as tar:
                for name, data in self.files.items():
                    about = tarfile.TarInfo(name)
                    about.size = len(data)
                    tar.addfile(about, io.BytesIO(data))
        else:
            for name, data in self.files.items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(data)
        return path


def named(entry: dict[str, Any], **names: str) -> dict[str, Any]:
    keys = {"ref": "org.opencontainers.image.ref.name", "name": "io.containerd.image.name"}
    return {**entry, "annotations": {keys[key]: value for key, value in names.items()}}


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    made = ImageStore(tmp_path / "store")
    made.open()
    return made


def loaded(store: ImageStore, given: str, name: str, platform: str = "linux/amd64") -> Any:
    local = LocalImages((given,))
    local.load()
    found = local.find(ImageReference.parse(name))
    assert found is not None
    return load_parts(found, platform, store, name)


@pytest.mark.parametrize("archive", [True, False])
def test_an_image_of_a_layout_is_found_by_its_name_and_for_its_platform(
    store: ImageStore, tmp_path: Path, archive: bool
) -> None:
    layout = Layout()
    entries = [
        {**layout.image(arch, arch), "platform": {"os": "linux", "architecture": arch}} for arch in ("amd64", "arm64")
    ]
    inner = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    layout.index(named(layout.blob(json.dumps(inner).encode(), INDEX), ref="me/tool:v2"))
    path = layout.write(tmp_path / "image", archive=archive)
    manifest, settings = loaded(store, str(path), "me/tool:v2", "linux/arm64")
    assert json.loads(settings)["architecture"] == "arm64"
    assert all(store.has(blob) for blob in manifest.layers)
    with pytest.raises(ExecutionError, match="does not exist for linux/s390x"):
        loaded(store, str(path), "me/tool:v2", "linux/s390x")


def test_the_whole_name_of_an_image_comes_before_its_tag_alone(tmp_path: Path, store: ImageStore) -> None:
    layout = Layout()
    layout.index(named(layout.image(), ref="v2", name="docker.io/me/tool:v2"))
    loaded(store, str(layout.write(tmp_path / "image", archive=False)), "me/tool:v2")


def test_an_image_whose_name_is_not_told_needs_one(tmp_path: Path, store: ImageStore) -> None:
    layout = Layout()
    layout.index(named(layout.image(), ref="v2"))
    path = layout.write(tmp_path / "image", archive=False)
    with pytest.raises(BadRequest, match="does not tell the name of its image: give it as NAME="):
        LocalImages((str(path),)).load()
    loaded(store, f"me/tool:v3={path}", "me/tool:v3")


def test_a_file_with_several_images_can_not_have_one_name(tmp_path: Path) -> None:
    layout = Layout()
    layout.index(named(layout.image(), ref="a/a:1"), named(layout.image(content="y"), ref="b/b:1"))
    path = layout.write(tmp_path / "image", archive=True)
    with pytest.raises(BadRequest, match="holds 2 images"):
        LocalImages((f"x={path}",)).load()


def test_what_docker_saves_is_found_by_its_tag(tmp_path: Path, store: ImageStore) -> None:
    path = tmp_path / "image.tar"
    base_image.save(path, "me/tool:v1", [layer(Entry("more"))])
    manifest, settings = loaded(store, str(path), "me/tool:v1", platform_here())
    assert manifest.settings.digest == digest_of(settings)
    assert len(manifest.layers) == 2
    with pytest.raises(ExecutionError, match="is available for linux/"):
        loaded(store, str(path), "me/tool:v1", "linux/s390x")


def platform_here() -> str:
    from asman_worker.config import platform_name

    return platform_name()


def test_a_file_that_was_changed_meanwhile_is_not_used(tmp_path: Path, store: ImageStore) -> None:
    layout = Layout()
    layout.index(named(layout.image(), ref="me/tool:v1"))
    path = layout.write(tmp_path / "image", archive=False)
    local = LocalImages((str(path),))
    local.load()
    for blob in (path / "blobs/sha256").iterdir():
        data = blob.read_bytes()
        if data[:2] == b"\x1f\x8b":
            blob.write_bytes(data[:-1] + b"x")
    found = local.find(ImageReference.parse("me/tool:v1"))
    assert found is not None
    with pytest.raises(ExecutionError, match="other bytes than its name says"):
        load_parts(found, "linux/amd64", store, "me/tool:v1")


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"index.json": b"not json"},
        {"index.json": b"{}"},
        {"index.json": b'{"manifests": [{}]}'},
        {"index.json": b'{"manifests": 5}'},
        {"manifest.json": b'[{"RepoTags": 5}]'},
    ],
)
@pytest.mark.parametrize("archive", [True, False])
def test_a_file_that_is_no_image_is_told_at_the_start(tmp_path: Path, files: dict[str, bytes], archive: bool) -> None:
    layout = Layout()
    layout.files.update(files)
    path = layout.write(tmp_path / "image", archive=archive)
    with pytest.raises(BadRequest, match="is no image in a form that can be read"):
        LocalImages((str(path),)).load()


def test_a_member_of_an_archive_leads_to_no_other_file(tmp_path: Path, store: ImageStore) -> None:
    (tmp_path / "secret").write_text("secret")
    path = tmp_path / "image.tar"
    with tarfile.open(path, "w") as tar:
        entry = [{"Config": "../../secret", "RepoTags": ["me/tool:v1"], "Layers": []}]
        data = json.dumps(entry).encode()
        about = tarfile.TarInfo("manifest.json")
        about.size = len(data)
        tar.addfile(about, io.BytesIO(data))
        link = tarfile.TarInfo("../../secret")
        link.type, link.linkname = tarfile.SYMTYPE, os.fspath(tmp_path / "secret")
        tar.addfile(link)
    with pytest.raises(ExecutionError, match="can't be read from its file"):
        loaded(store, str(path), "me/tool:v1")
