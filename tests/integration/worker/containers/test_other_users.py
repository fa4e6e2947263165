"""A worker keeps its files to itself, and jobs that run as another user of their image read and write theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asman_shared.definition import Build, DataRef
from asman_shared.disk.own_files import own_files
from asman_shared.messages import STDOUT, Finished
from devtools.fake_hub import FakeHub, Line
from tests.integration.worker.conftest import config_for, first_line, worker


@pytest.fixture
async def line(hub: FakeHub, tmp_path: Path, busybox_image: str) -> AsyncIterator[Line]:
    """A worker without a network, whose files are its owner's alone, as those of `asman worker` are."""
    with own_files():
        async with worker(config_for(hub, tmp_path / "data", pull="never", network="none")) as task:
            made = await first_line(hub, task)
            await made.answer()
            yield made


async def test_another_user_reads_all_inputs_and_writes_outputs_and_the_job_cache(hub: FakeHub, line: Line) -> None:
    blob = hub.store(b"from a blob\n")
    dockerfile = 'FROM asman-test/busybox\nVOLUME ["/inputs/volume", "/outputs/volume"]\nUSER 1234'
    script = (
        "id -u; cat /inputs/deep/er/text /inputs/blob /inputs/rel.conf /etc/app.conf; ls /inputs/volume;"
        "grep -c localhost /etc/hosts; /inputs/program; echo made > /outputs/volume/made; echo kept > /job-cache/kept"
    )
    await line.assign(
        "a",
        build=Build(dockerfile=dockerfile),
        command=["sh", "-ec", script],
        inputs={
            "deep/er/text": DataRef("a text\n"),
            "blob": DataRef(blob, "key"),
            "program": DataRef("#!/bin/sh\necho ran\n"),
        },
        config_files={"rel.conf": DataRef("relative\n"), "/etc/app.conf": DataRef("absolute\n")},
    )
    finished = await line.expect(Finished)
    assert finished.outcome.exit_code == 0, line.texts("a")
    said = line.texts("a", STDOUT)
    assert said[said.index("1234") :] == ["1234", "a text", "from a blob", "relative", "absolute", "2", "ran"]
    assert {name: hub.output(finished, name) for name in finished.outcome.result.outputs} == {"volume/made": b"made\n"}
