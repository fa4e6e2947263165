"""The synchronous client is the async one, member by member and argument by argument."""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import asman.sync
from asman import client, job, outputs
from asman_shared import messages as m
from scripts import sync_client
from scripts.sync_client import FOLDER, LEFT_OUT, MODULES, UnannotatedError, document

from .fake_hub import FakeHub

PAIRS = [
    (client.Queue, asman.sync.Queue),
    (job.Job, asman.sync.Job),
    (outputs.Output, asman.sync.Output),
    (outputs.JobResult, asman.sync.JobResult),
]
BY_HAND = {"Queue": {"close"}}
"""Members that the mirrors have from their bases."""


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("name", MODULES)
def test_the_mirrors_are_current(name: str) -> None:
    assert (FOLDER / f"{name}.py").read_text() == document(name), "run: python -m scripts.sync_client"


@pytest.mark.parametrize(("real", "mirror"), PAIRS, ids=[real.__name__ for real, _ in PAIRS])
def test_each_member_has_its_mirror_with_the_same_arguments(real: type, mirror: type) -> None:
    left_out = LEFT_OUT.get(real.__name__, frozenset())
    assert public(real) - left_out <= public(mirror)
    for name in public(real) - left_out:
        theirs, ours = getattr(real, name), getattr(mirror, name)
        assert inspect.getdoc(ours), name
        if isinstance(theirs, property):
            assert isinstance(ours, property), name
            continue
        expected = inspect.signature(theirs).parameters.values()
        found = inspect.signature(ours).parameters.values()
        assert [(each.name, each.kind, each.default) for each in found] == [
            (each.name, each.kind, each.default) for each in expected
        ], name
        assert not inspect.iscoroutinefunction(ours), name


@pytest.mark.parametrize(("real", "mirror"), PAIRS, ids=[real.__name__ for real, _ in PAIRS])
def test_no_mirror_has_a_member_of_its_own(real: type, mirror: type) -> None:
    attributes = set(
        re.findall(r"^    +(\w+): ", (inspect.getdoc(real) or "").partition("Attributes:")[2], re.MULTILINE)
    )
    assert public(mirror) - BY_HAND.get(real.__name__, set()) <= public(real) | attributes


def test_an_attribute_without_a_type_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "class Output:\n    def __init__(self):\n        self.name = 'x'\n"
    (tmp_path / "outputs.py").write_text(source)
    monkeypatch.setattr(sync_client, "CLIENT", tmp_path)
    monkeypatch.setattr(sync_client, "MODULES", {"jobs": (("outputs", "Output"),)})
    with pytest.raises(UnannotatedError, match=r"Output\.name has no type"):
        document("jobs")


async def test_what_was_missing_works_without_await(hub: FakeHub, tmp_path: Path) -> None:
    def work() -> dict[str, Any]:
        source = tmp_path / "data"
        source.write_bytes(b"x" * 10_000)
        with asman.sync.connect(hub.url) as queue:
            ref = queue.put_blob(source)
            common = queue.define(image="alpine", inputs={"data": ref})
            (submitted,) = queue.submit_many([{"definition": common, "command": "x"}])
            result = submitted.result()
            return {
                "size": queue.blob_size(str(ref.value)),
                "bytes": queue.get_blob(str(ref.value)),
                "saved": queue.save_blob(str(ref.value), tmp_path / "again").read_bytes(),
                "counts": queue.counts,
                "definition": submitted.definition.command,
                "namespace": submitted.namespace,
                "address": submitted.address == queue.address,
                "lines": [line.text for lines in submitted.log_parts() for line in lines],
                "worker": result.worker,
                "skipped": result.skipped,
                "phases": result.phases,
                "digest": result.image_digest,
                "key": result.outputs["out"].key,
                "executable": result.outputs["out"].executable,
                "type": result.outputs["out"].media_type,
                "shown": repr(result),
            }

    async def play() -> str:
        await hub.saw(m.Submit)
        made = next(iter(hub.jobs))
        hub.log(made, "a")
        hub.output(made, "out", b"made", mode=0o755)
        hub.finish(made, 0)
        return made

    found, made = await asyncio.gather(asyncio.to_thread(work), play())
    assert found["bytes"] == found["saved"] == b"x" * 10_000
    assert found["size"] == 10_000
    assert (found["definition"], found["namespace"], found["address"]) == ("x", "_", True)
    assert found["counts"] == m.Counts()
    assert found["lines"] == ["a"]
    assert (found["worker"], found["skipped"], found["phases"], found["digest"]) == ("", {}, {}, "")
    assert (found["executable"], found["type"]) == (True, "application/octet-stream")
    assert len(found["key"]) == 64
    assert found["shown"] == f"JobResult({made[:12]}, Success, exit code 0, 1 output)"
