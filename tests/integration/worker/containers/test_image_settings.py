"""Settings of an image never change what a job's folders and variables mean."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asman_shared.definition import Build, DataRef
from asman_shared.messages import STDOUT, Abort, Finished, LogBatch, Outcome, Released
from asman_shared.states import Fault
from devtools.fake_hub import FakeHub, Line, job
from tests.integration.worker.conftest import config_for, first_line, worker


@pytest.fixture
async def line(hub: FakeHub, tmp_path: Path, busybox_image: str) -> AsyncIterator[Line]:
    async with worker(config_for(hub, tmp_path / "data", pull="never")) as task:
        made = await first_line(hub, task)
        await made.answer()
        yield made


def image(*steps: str) -> Build:
    return Build(dockerfile="\n".join(("FROM asman-test/busybox", *steps)))


async def ran(line: Line, name: str, build: Build, script: str, **fields: Any) -> Finished:
    await line.assign(name, build=build, command=["sh", "-c", script], **fields)
    return await line.expect(Finished, lambda m: m.job == job(name))


async def refused(line: Line, name: str, build: Build) -> Outcome:
    outcome = (await ran(line, name, build, "echo ran")).outcome
    assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
    assert "ran" not in line.texts(name, STDOUT)
    return outcome


async def test_a_volume_inside_the_outputs_loses_none_of_them(hub: FakeHub, line: Line) -> None:
    volumes = 'VOLUME ["/outputs/deep/er/", "/outputs//flat", "/outputs", "/outputs/deep"]'
    made = await ran(
        line,
        "a",
        image(volumes, "USER 1234"),
        "for each in deep/er flat deep .; do echo $each > /outputs/$each/made.txt; done",
    )
    assert made.outcome.exit_code == 0, line.texts("a")
    assert {name: hub.output(made, name) for name in made.outcome.result.outputs} == {
        "made.txt": b".\n",
        "flat/made.txt": b"flat\n",
        "deep/made.txt": b"deep\n",
        "deep/er/made.txt": b"deep/er\n",
    }


async def test_a_volume_inside_the_inputs_hides_none_of_them(line: Line) -> None:
    build = image("VOLUME /inputs /inputs/folder /inputs/file /inputs/none/at/all")
    script = "cat /inputs/folder/a /inputs/file; ls /inputs/none/at/all; touch /inputs/folder/x /inputs/none/at/all/x"
    inputs = {"folder/a": DataRef("in the folder\n"), "file": DataRef("a file\n")}
    assert (await ran(line, "a", build, script, inputs=inputs)).outcome.exit_code == 1
    assert line.texts("a", STDOUT)[-2:] == ["in the folder", "a file"]
    assert sum("Read-only file system" in text for text in line.texts("a")) == 2


async def test_a_volume_at_the_job_cache_changes_nothing_and_one_inside_it_is_refused(line: Line) -> None:
    await ran(line, "a", image("VOLUME /job-cache"), "echo kept > /job-cache/note")
    await ran(line, "b", image("VOLUME /job-cache/", "LABEL other=1"), "cat /job-cache/note")
    assert line.texts("b", STDOUT)[-1] == "kept"
    outcome = await refused(line, "c", image("VOLUME /job-cache/x"))
    assert outcome.message == (
        "the image declares a volume at '/job-cache/x', which is inside /job-cache, which all jobs of the queue share: "
        "the files there would be lost. Remove that VOLUME from the image's Dockerfile"
    )


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("WORKDIR /inputs/none", "the container could not be started: mkdir /inputs/none: read-only file system"),
        ("USER nobody-here", "unable to find user nobody-here: no matching entries in passwd file"),
        ("VOLUME /proc", "declares a volume at '/proc', where a container has its own system"),
        ("WORKDIR /bin/busybox", "Cannot mkdir: /bin/busybox is not a directory"),
    ],
)
async def test_settings_with_which_nothing_can_start_are_the_jobs_fault_and_named(
    line: Line, step: str, why: str
) -> None:
    assert why in (await refused(line, "a", image(step))).message


async def test_a_working_directory_in_the_inputs_is_a_folder_of_theirs(line: Line) -> None:
    made = await ran(line, "a", image("WORKDIR /inputs/folder"), "cat file", inputs={"folder/file": DataRef("here\n")})
    assert (made.outcome.exit_code, line.texts("a", STDOUT)[-1]) == (0, "here")


@pytest.mark.parametrize(
    "steps",
    [
        ("RUN ln -s /outputs /data", "VOLUME /data/x"),
        ("RUN ln -s /data /outputs && mkdir /data", "VOLUME /data"),
        ("RUN ln -s /job-cache /outputs",),
        ("RUN mkdir /a && ln -s /job-cache /a/b", "VOLUME /a/b/c"),
    ],
)
async def test_links_in_an_image_that_make_our_folders_overlap_are_refused(line: Line, steps: tuple[str, ...]) -> None:
    outcome = await refused(line, "a", image(*steps))
    assert "the image has a link by which /" in outcome.message


async def test_a_volume_that_a_link_leads_into_the_inputs_is_refused(line: Line) -> None:
    outcome = await refused(line, "a", image("RUN mkdir /a && ln -s /inputs /a/b", "VOLUME /a/b/c"))
    assert outcome.message == (
        "the volumes that the image declares (/a/b/c) can't be mounted beside the job's folders: "
        "remove VOLUME from the image's Dockerfile"
    )


async def test_links_that_hide_nothing_and_volumes_elsewhere_are_fine(hub: FakeHub, line: Line) -> None:
    steps = ("RUN mkdir /real && ln -s /real /outputs && ln -s /run /var/run", "VOLUME /var/run/x /var/lib/x /outputs2")
    made = await ran(line, "a", image(*steps), "echo x > /outputs/x; echo y > /var/run/x/y; echo z > /outputs2/z")
    assert (made.outcome.exit_code, list(made.outcome.result.outputs)) == (0, ["x"])


async def test_variables_of_an_image_do_not_stand_in_for_the_jobs_own(line: Line) -> None:
    build = image("ENV JOB_ID=forged JOB_OUTPUTS=/elsewhere JOB_INPUTS=/elsewhere JOB_CACHE=/elsewhere", "ENV MINE=1")
    await ran(line, "a", build, "echo $JOB_ID $JOB_OUTPUTS $JOB_INPUTS $JOB_CACHE $MINE")
    assert line.texts("a", STDOUT)[-1] == f"{job('a')} /outputs /inputs /job-cache 1"


async def test_a_health_check_and_a_stop_signal_of_an_image_have_no_effect(line: Line) -> None:
    build = image("HEALTHCHECK --interval=1s CMD touch /outputs/healthy", "STOPSIGNAL SIGKILL")
    await line.assign("a", build=build, command=["sh", "-c", "echo up; sleep 600"])
    await line.expect(LogBatch, lambda m: any(each.text == "up" for each in m.lines))
    ask = ["docker", "ps", "-q", "--no-trunc", "--filter", f"label=asman.job={job('a')}"]
    ids = (await asyncio.to_thread(subprocess.check_output, ask, text=True)).split()
    (shown,) = json.loads(await asyncio.to_thread(subprocess.check_output, ["docker", "inspect", *ids]))
    assert "Health" not in shown["State"]
    assert shown["Config"]["StopSignal"] == "SIGTERM"
    await line.send(Abort(job("a"), 1))
    await line.expect(Released)
