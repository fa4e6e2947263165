"""Settings of an image never change what a job's folders and variables mean, without an engine either."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asman_shared.definition import Build, DataRef
from asman_shared.messages import STDOUT, Finished, Outcome
from asman_shared.states import Fault
from devtools import base_image
from devtools.fake_hub import FakeHub, Line, job
from tests.integration.worker.conftest import config_for, first_line, worker
from tests.unit.worker.oci.layers import Entry, layer

NAME = "asman-test/made:v1"


def volumes(*paths: str) -> dict[str, object]:
    return {"Volumes": {path: {} for path in paths}}


@asynccontextmanager
async def with_image(
    hub: FakeHub, folder: Path, settings: Mapping[str, object], *entries: Entry, **more: Any
) -> AsyncIterator[Line]:
    """A worker with an image of busybox, further files and settings."""
    archive = folder / "image.tar"
    base_image.save(archive, NAME, [layer(*entries)] if entries else [], settings)
    means = {"executor": "oci", "oci_image": str(archive), **more}
    async with worker(config_for(hub, folder / "data", **means)) as task:
        line = await first_line(hub, task)
        await line.answer()
        yield line


async def ran(line: Line, script: str, name: str = "a", **fields: Any) -> Finished:
    await line.assign(name, image=NAME, command=["sh", "-c", script], **fields)
    return await line.expect(Finished, lambda m: m.job == job(name))


async def refused(line: Line) -> Outcome:
    outcome = (await ran(line, "echo ran")).outcome
    assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
    assert "ran" not in line.texts("a", STDOUT)
    return outcome


async def test_a_volume_inside_the_outputs_loses_none_of_them(hub: FakeHub, tmp_path: Path) -> None:
    settings = {**volumes("/outputs/deep/er/", "/outputs//flat", "/outputs", "/outputs/deep"), "User": "1234"}
    async with with_image(hub, tmp_path, settings) as line:
        made = await ran(line, "for each in deep/er flat deep .; do echo $each > /outputs/$each/made.txt; done")
        assert made.outcome.exit_code == 0, line.texts("a")
        assert {name: hub.output(made, name) for name in made.outcome.result.outputs} == {
            "made.txt": b".\n",
            "flat/made.txt": b"flat\n",
            "deep/made.txt": b"deep\n",
            "deep/er/made.txt": b"deep/er\n",
        }


async def test_a_volume_inside_the_inputs_hides_none_of_them(hub: FakeHub, tmp_path: Path) -> None:
    settings = volumes("/inputs", "/inputs/folder", "/inputs/file", "/inputs/none/at/all")
    script = "cat /inputs/folder/a /inputs/file; ls /inputs/none/at/all; touch /inputs/folder/x /inputs/none/at/all/x"
    inputs = {"folder/a": DataRef("in the folder\n"), "file": DataRef("a file\n")}
    async with with_image(hub, tmp_path, settings) as line:
        assert (await ran(line, script, inputs=inputs)).outcome.exit_code == 1
        assert line.texts("a", STDOUT)[-2:] == ["in the folder", "a file"]
        assert sum("Read-only file system" in text for text in line.texts("a")) == 2


async def test_a_volume_at_the_job_cache_changes_nothing(hub: FakeHub, tmp_path: Path) -> None:
    async with with_image(hub, tmp_path, volumes("/job-cache/")) as line:
        await ran(line, "echo kept > /job-cache/note")
        await ran(line, "cat /job-cache/note", "b")
        assert line.texts("b", STDOUT)[-1] == "kept"


async def test_a_volume_elsewhere_lives_and_ends_with_the_container_and_is_measured(
    hub: FakeHub, tmp_path: Path
) -> None:
    entries = (Entry("there/before", content="of the image\n"),)
    async with with_image(hub, tmp_path, volumes("/there", "/not-there"), *entries, disk="20MiB") as line:
        await ran(line, "cat /there/before; echo x > /there/new; echo y > /not-there/new; ls /there /not-there")
        assert line.texts("a", STDOUT) == ["of the image", "/not-there:", "new", "", "/there:", "before", "new"]
        await ran(line, "ls /there /not-there", "b")
        assert line.texts("b", STDOUT) == ["/not-there:", "", "/there:", "before"]
        for name, place in (("c", "/not-there"), ("d", "/there"), ("e", "/anywhere")):
            fill = f"mkdir -p {place}; dd if=/dev/zero of={place}/x bs=1M count=60; sleep 600"
            outcome = (await ran(line, fill, name)).outcome
            assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
            assert "and the maximum is 20 MiB (--disk)" in outcome.message


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"WorkingDir": "/inputs/none"}, "the container could not be started: mkdir /inputs/none: read-only file"),
        ({"User": "nobody-here"}, "unable to find user nobody-here: no matching entries in passwd file"),
        (volumes("/proc"), "declares a volume at '/proc', where a container has its own system"),
        (volumes("/job-cache/x"), "is inside /job-cache, which all jobs of the queue share"),
        ({"WorkingDir": "/bin/busybox"}, "Cannot mkdir: /bin/busybox is not a directory"),
        ({"WorkingDir": "relative"}, "the working directory 'relative' is invalid"),
    ],
)
async def test_settings_with_which_nothing_can_start_are_the_jobs_fault_and_named(
    hub: FakeHub, tmp_path: Path, settings: dict[str, object], why: str
) -> None:
    async with with_image(hub, tmp_path, settings) as line:
        assert why in (await refused(line)).message


async def test_a_job_and_an_image_without_a_command_are_told(hub: FakeHub, tmp_path: Path) -> None:
    async with with_image(hub, tmp_path, {"Cmd": None}) as line:
        await line.assign("a", image=NAME)
        outcome = (await line.expect(Finished)).outcome
        assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
        assert "no command specified" in outcome.message


async def test_entrypoint_command_variables_and_user_of_an_image_are_used(hub: FakeHub, tmp_path: Path) -> None:
    settings = {
        "Entrypoint": ["/bin/sh", "-c"],
        "Cmd": ["id -u; pwd; echo $HOME $MINE"],
        "User": "nobody",
        "WorkingDir": "/made/here",
        "Env": ["PATH=/bin", "MINE=of the image"],
    }
    async with with_image(hub, tmp_path, settings) as line:
        await line.assign("a", image=NAME)
        assert (await line.expect(Finished)).outcome.exit_code == 0, line.texts("a")
        assert line.texts("a", STDOUT) == ["65534", "/made/here", "/ of the image"]
        await line.assign("b", image=NAME, entrypoint=["/bin/echo"], env={"MINE": "x"})
        await line.expect(Finished, lambda m: m.job == job("b"))
        assert line.texts("b", STDOUT) == [""]


async def test_a_working_directory_in_the_inputs_is_a_folder_of_theirs(hub: FakeHub, tmp_path: Path) -> None:
    async with with_image(hub, tmp_path, {"WorkingDir": "/inputs/folder"}) as line:
        made = await ran(line, "cat file", inputs={"folder/file": DataRef("here\n")})
        assert (made.outcome.exit_code, line.texts("a", STDOUT)[-1]) == (0, "here")


@pytest.mark.parametrize(
    ("entries", "declared"),
    [
        ([Entry("data", "link", "/outputs")], ["/data/x"]),
        ([Entry("outputs", "link", "/data"), Entry("data", "folder", mode=0o755)], ["/data"]),
        ([Entry("outputs", "link", "/job-cache")], []),
        ([Entry("a/b", "link", "/job-cache")], ["/a/b/c"]),
        ([Entry("a/b", "link", "/inputs")], ["/a/b/c"]),
        ([Entry("outputs", "link", "/")], []),
        ([Entry("inputs", "link", "/proc/1")], []),
    ],
)
async def test_links_in_an_image_that_make_our_folders_overlap_are_refused(
    hub: FakeHub, tmp_path: Path, entries: list[Entry], declared: list[str]
) -> None:
    async with with_image(hub, tmp_path, volumes(*declared), *entries) as line:
        message = (await refused(line)).message
        assert "the image has a link by which /" in message or "can't be mounted beside the job's folders" in message


async def test_links_that_hide_nothing_and_volumes_elsewhere_are_fine(hub: FakeHub, tmp_path: Path) -> None:
    entries = (
        Entry("real", "folder", mode=0o777),
        Entry("outputs", "link", "/real"),
        Entry("run", "folder", mode=0o755),
        Entry("var/run", "link", "/run"),
    )
    async with with_image(hub, tmp_path, volumes("/var/run/x", "/var/lib/x", "/outputs2"), *entries) as line:
        made = await ran(line, "echo x > /outputs/x; echo y > /var/run/x/y; echo z > /outputs2/z")
        assert (made.outcome.exit_code, list(made.outcome.result.outputs)) == (0, ["x"]), line.texts("a")


async def test_a_link_of_an_image_to_the_host_leads_to_the_container(hub: FakeHub, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("of the host")
    entries = (Entry("outputs", "link", str(secret)), Entry("etc/passwd", "link", "/proc/self/environ"))
    async with with_image(hub, tmp_path, {"User": "0"}, *entries) as line:
        made = await ran(line, f"echo x > /outputs/x; ls {secret}; cat {secret}/file")
        assert list(made.outcome.result.outputs) == ["x"]
        assert line.texts("a", STDOUT) == ["x"]
    assert [path.name for path in secret.iterdir()] == ["file"]


async def test_variables_of_an_image_do_not_stand_in_for_the_jobs_own(hub: FakeHub, tmp_path: Path) -> None:
    names = ("JOB_OUTPUTS", "JOB_INPUTS", "JOB_CACHE")
    settings = {"Env": ["PATH=/bin", "JOB_ID=forged", "MINE=1", *(f"{name}=/elsewhere" for name in names)]}
    async with with_image(hub, tmp_path, settings) as line:
        await ran(line, "echo $JOB_ID $JOB_OUTPUTS $JOB_INPUTS $JOB_CACHE $MINE")
        assert line.texts("a", STDOUT)[-1] == f"{job('a')} /outputs /inputs /job-cache 1"


async def test_a_build_is_refused_with_the_way_out(hub: FakeHub, tmp_path: Path) -> None:
    async with with_image(hub, tmp_path, {}) as line:
        await line.assign("a", build=Build(dockerfile="FROM scratch"), command="true")
        outcome = (await line.expect(Finished)).outcome
        assert (outcome.kind, outcome.fault) == ("error", Fault.WORKER)
        assert "use a worker with --executor docker" in outcome.message


async def test_nothing_that_a_job_changes_is_seen_by_the_next(hub: FakeHub, tmp_path: Path) -> None:
    dirty = (
        "echo evil > /etc/passwd; rm /bin/ls; chmod 777 /root; echo x > /dev/shm/x; echo y > /tmp/y; mkdir /new; "
        "find / -xdev -type f 2>/dev/null | sort | md5sum"
    )
    look = "cat /etc/passwd; stat -c %a /root; ls /dev/shm /tmp /new 2>&1"
    async with with_image(hub, tmp_path, {}) as line:
        await ran(line, look)
        await ran(line, dirty, "b")
        await ran(line, look, "c")
        assert line.texts("c") == line.texts("a")
