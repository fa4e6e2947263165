"""Jobs with volumes, steps and files for standard streams, in real containers."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from asman_shared.definition import DataRef, Step
from asman_shared.messages import STDERR, STDOUT, SYSTEM, Finished, Kept
from asman_worker.containers.streams import LOGGED
from devtools.fake_hub import FakeHub, Line, job
from tests.integration.worker.conftest import WITHOUT_ENGINE
from tests.integration.worker.containers.test_image_settings import image
from tests.integration.worker.test_lifecycle import says, worker_process
from tests.support.images import BUSYBOX

of_docker = pytest.mark.parametrize("means", ["docker"], indirect=True)
"""For what no other executor can do."""
of_volumes = pytest.mark.parametrize("means", ["docker", "oci", "bubblewrap"], indirect=True)
of_several_ids = pytest.mark.parametrize("means", ["docker", "oci", "oci, ordinary user"], indirect=True)
of_all = pytest.mark.parametrize("means", ["docker", *WITHOUT_ENGINE], indirect=True)


@of_volumes
async def test_a_file_in_a_volume_is_kept_by_its_path(hub: FakeHub, line: Line) -> None:
    await line.assign(
        "a",
        image=BUSYBOX,
        command="ls -a /data /outputs; cat /data/in/x > /data/out/y; echo no > /data/z; echo deep > /var/lib/own/deep",
        config_files={"/data/in/x": DataRef("text")},
        volumes=["/data", "/data/out", "/var/lib/own"],
        outputs=["data/out/y", "var/lib"],
    )
    finished = await line.expect(Finished)
    assert finished.outcome.exit_code == 0, line.texts("a")
    outputs = finished.outcome.result.outputs
    assert {name: hub.output(finished, name) for name in outputs} == {
        "data/out/y": b"text",
        "var/lib/own/deep": b"deep\n",
    }
    assert line.texts("a", STDOUT) == ["/data:", ".", "..", "in", "out"]  # and no outputs


@of_volumes
async def test_nothing_is_kept_of_volumes_that_no_output_names(line: Line) -> None:
    await line.assign("a", image=BUSYBOX, command="echo x > /data/x; env", volumes=["/data"])
    finished = await line.expect(Finished)
    assert (finished.outcome.exit_code, finished.outcome.result.outputs) == (0, {})
    assert not [each for each in line.texts("a") if each.startswith("JOB_OUTPUTS=")]


@of_several_ids
async def test_any_user_may_write_to_a_volume_and_to_folders_in_it(line: Line) -> None:
    await line.assign(
        "a",
        image=BUSYBOX,
        command="su nobody -s /bin/sh -c 'echo 1 > /work/a; echo 2 > /work/sub/b; echo 3 > /work/in/c'; pwd",
        config_files={"/work/in/x": DataRef("text")},
        volumes=["/work"],
        workdir="/work/sub",
        outputs=["work"],
    )
    finished = await line.expect(Finished)
    assert sorted(finished.outcome.result.outputs) == ["work/a", "work/in/c", "work/in/x", "work/sub/b"], line.texts(
        "a"
    )
    assert line.texts("a", STDOUT) == ["/work/sub"]


@of_all
async def test_standard_streams_are_files(hub: FakeHub, line: Line) -> None:
    await line.assign(
        "a",
        image=BUSYBOX,
        command=["sh", "-c", "tr a-z A-Z; printf two >&2; exit 3"],
        entrypoint=[],
        config_files={"/in/it's": DataRef("one\nlast")},
        volumes=["/logs"],
        stdin="/in/it's",
        stdout="/logs/deep/out",
        stderr="/logs/err",
        outputs=["logs/**"],
    )
    finished = await line.expect(Finished)
    assert finished.outcome.exit_code == 3
    assert {name: hub.output(finished, name) for name in finished.outcome.result.outputs} == {
        "logs/deep/out": b"ONE\nLAST",
        "logs/err": b"two",
    }
    assert line.texts("a", STDOUT) == ["ONE", "LAST"]
    assert line.texts("a", STDERR) == ["two"]


@of_volumes
async def test_both_streams_may_be_one_file(hub: FakeHub, line: Line) -> None:
    command = ["sh", "-c", "echo one; echo two >&2; echo three"]
    both = "/v/it's both"
    await line.assign("a", image=BUSYBOX, command=command, volumes=["/v"], outputs=["v"], stdout=both, stderr=both)
    finished = await line.expect(Finished)
    assert hub.output(finished, "v/it's both") == b"one\ntwo\nthree\n"
    assert line.texts("a") == ["one", "two", "three"]


@of_volumes
async def test_the_log_has_the_end_of_a_large_file(hub: FakeHub, line: Line) -> None:
    script = "head -c 6000000 /dev/zero | tr '\\0' x | fold -w 99; echo; echo end"
    await line.assign("a", image=BUSYBOX, command=script, volumes=["/v"], stdout="/v/out", outputs=["v"])
    finished = await line.expect(Finished)
    assert len(hub.output(finished, "v/out")) == 6_060_611
    texts = line.texts("a", STDOUT)
    assert (texts[-1], sum(len(text) + 1 for text in texts)) == ("end", LOGGED)
    assert line.texts("a", SYSTEM) == ["the log has the last 64 KiB of the 5.78 MiB in /v/out"]


def is_of(made: str, message: Finished) -> bool:
    return message.job == made


@of_volumes
async def test_what_is_not_a_file_any_more_is_not_read_for_the_log(line: Line) -> None:
    for name, script in (
        ("a", "rm /v/out; ln -s /etc/passwd /v/out"),
        ("b", "rm /v/out; mkfifo /v/out"),
        ("c", "rm /v/out; mkdir /v/out"),
        ("d", "rm /v/out"),
    ):
        command = f"echo text; {script}"
        made = await line.assign(name, image=BUSYBOX, command=command, volumes=["/v"], stdout="/v/out")
        finished = await line.expect(Finished, partial(is_of, made))
        assert (finished.outcome.kind, finished.outcome.exit_code) == ("exited", 0)
        assert line.texts(name) == []


@of_volumes
async def test_a_file_that_can_not_be_opened_is_a_failure_of_the_command(line: Line) -> None:
    await line.assign("a", image=BUSYBOX, command=["cat"], stdin="/not/there")
    finished = await line.expect(Finished)
    assert (finished.outcome.kind, finished.outcome.exit_code) == ("exited", 1)
    assert "/not/there" in line.texts("a", STDERR)[0]


@of_docker
async def test_steps_run_in_order_and_share_volumes(hub: FakeHub, line: Line, busybox_image: str) -> None:
    await line.assign(
        "a",
        build=image("RUN echo built > /marker"),
        command=["sh", "-c", "cat /marker > /v/x; echo mine > /own; printf first"],
        env={"A": "1"},
        volumes=["/v"],
        outputs=["v/x"],
        steps=[
            Step(image=busybox_image, command=["sh", "-c", 'echo "two $A$B" >> /v/x; ls /own'], ignore_failure=True),
            Step(command=["sh", "-c", 'echo "three $B" >> /v/x; cat /marker; exit 4'], env={"B": "2"}),
            Step(command=["sh", "-c", "echo never >> /v/x"]),
        ],
    )
    finished = await line.expect(Finished)
    result = finished.outcome.result
    assert (finished.outcome.kind, finished.outcome.exit_code) == ("exited", 4), line.texts("a")
    assert hub.output(finished, "v/x") == b"built\ntwo \nthree 2\n"
    assert [each.exit_code for each in result.steps] == [0, 1, 4]
    lines = {each.seq: each.text for each in line.lines("a")}
    assert [[lines[seq] for seq in range(each.first, each.next)] for each in result.steps] == [
        [*[lines[seq] for seq in range(result.steps[0].first, result.steps[0].next - 1)], "first"],
        ["ls: /own: No such file or directory"],
        ["built"],
    ]
    assert all(each.started <= each.finished for each in result.steps)


@of_volumes
async def test_a_job_succeeds_if_the_failure_of_its_last_step_is_ignored(line: Line) -> None:
    step = Step(command=["false"], ignore_failure=True)
    await line.assign("a", image=BUSYBOX, command=["true"], steps=[step])
    finished = await line.expect(Finished)
    assert finished.outcome.exit_code == 0
    assert [each.exit_code for each in finished.outcome.result.steps] == [0, 1]


@of_volumes
async def test_a_link_of_one_step_is_not_mounted_for_the_next(line: Line) -> None:
    await line.assign(
        "a",
        image=BUSYBOX,
        command=["sh", "-c", "rm -rf /v/w; ln -s / /v/w; ls /outputs"],
        volumes=["/v", "/v/w"],
        ignore_failure=True,
        steps=[Step(command=["sh", "-c", "readlink /v/w >&2; ls -d /v/w/jobs"])],
    )
    finished = await line.expect(Finished)
    assert [each.exit_code for each in finished.outcome.result.steps] == [1, 1]
    assert line.texts("a", STDOUT) == []


@of_volumes
async def test_the_time_limit_is_that_of_all_steps(line: Line) -> None:
    await line.assign(
        "a",
        image=BUSYBOX,
        command=["sh", "-c", "sleep 0.2"],
        max_duration="1s",
        time_limit=1000,
        steps=[Step(command=["sleep", "1000"])],
    )
    finished = await line.expect(Finished)
    assert finished.outcome.kind == "timed_out"
    assert len(finished.outcome.result.steps) == 2
    assert finished.outcome.message.startswith(
        "stopped: running took longer than its limit of 1 s"
    )  # not what was left


@pytest.mark.parametrize("means", ["docker", "oci"], indirect=True)
async def test_a_restarted_worker_goes_on_with_the_step_that_runs(
    hub: FakeHub, tmp_path: Path, means: dict[str, Any]
) -> None:
    wait = "until [ -e /job-cache/go ]; do sleep 0.05; done; echo done"
    async with worker_process(hub, tmp_path, **means) as process:
        line = await hub.line()
        await line.answer()
        await line.assign(
            "a",
            image=BUSYBOX,
            command=["sh", "-c", "echo one > /v/x; echo first"],
            volumes=["/v"],
            stdout="/v/o",
            outputs=["v"],
            steps=[
                Step(command=["sh", "-c", f"echo two >> /v/x; echo begun; echo ready >&2; {wait}"], stdout="/v/o2"),
                Step(command=["sh", "-c", "echo three >> /v/x; echo third"], stdout="/v/o3"),
            ],
        )
        await says(line, "a", "ready")
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with worker_process(hub, tmp_path, **means):
        line = await hub.line()
        await line.answer([Kept(job("a"), 1, 2)])
        next((tmp_path / "cache").iterdir()).joinpath("go").touch()
        finished = await line.expect(Finished)
    assert [each.exit_code for each in finished.outcome.result.steps] == [0, 0, 0]
    assert {name: hub.output(finished, name) for name in finished.outcome.result.outputs} == {
        "v/x": b"one\ntwo\nthree\n",
        "v/o": b"first\n",
        "v/o2": b"begun\ndone\n",
        "v/o3": b"third\n",
    }
    assert line.texts("a", STDOUT)[-2:] == ["done", "third"]


@of_all
async def test_each_step_has_its_own_settings_and_a_fresh_container(hub: FakeHub, line: Line) -> None:
    await line.assign(
        "a",
        image=BUSYBOX,
        command=["sh", "-c", "cat /in/x > /v/x; echo mine > /own; id -u >> /v/x; printf first"],
        env={"A": "1"},
        config_files={"/in/x": DataRef("given\n")},
        volumes=["/v"],
        outputs=["v/x"],
        steps=[
            Step(command=["sh", "-c", 'echo "two $A$B" >> /v/x; ls /own'], workdir="/v", ignore_failure=True),
            Step(command=["sh", "-c", "tr a-z A-Z >> /v/x; exit 4"], stdin="/in/x", env={"B": "2"}),
            Step(command=["sh", "-c", "echo never >> /v/x"]),
        ],
    )
    finished = await line.expect(Finished)
    result = finished.outcome.result
    assert (finished.outcome.kind, finished.outcome.exit_code) == ("exited", 4), line.texts("a")
    assert hub.output(finished, "v/x") == b"given\n0\ntwo \nGIVEN\n"
    assert [each.exit_code for each in result.steps] == [0, 1, 4]
    assert line.texts("a", STDOUT) == ["first"]
    lines = {each.seq: each.text for each in line.lines("a")}
    said = [[lines[seq] for seq in range(each.first, each.next)] for each in result.steps]
    assert (said[0][-1], said[1:]) == ("first", [["ls: /own: No such file or directory"], []])


@of_docker
async def test_an_empty_entrypoint_takes_the_place_of_the_image_s_own(line: Line, busybox_image: str) -> None:
    build = image('ENTRYPOINT ["echo", "entry"]', 'CMD ["default"]')
    await line.assign("a", build=build, command=["word"])
    await line.expect(Finished, lambda message: message.job == job("a"))
    await line.assign("b", build=build, command=["echo", "word"], entrypoint=[])
    await line.expect(Finished, lambda message: message.job == job("b"))
    assert [line.texts(name, STDOUT)[-1] for name in "ab"] == ["entry word", "word"]
