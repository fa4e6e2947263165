"""Jobs in real containers, told by a hub that does only what the test says."""

from __future__ import annotations

import pytest

from asman_shared.definition import DataRef, Requirements
from asman_shared.limits import LOG_LINE_BYTES
from asman_shared.messages import LINE_ENDS, STDERR, STDOUT, Abort, Finished, PhaseReport, Released
from asman_shared.states import Fault, Phase
from devtools.fake_hub import FakeHub, Line, job


async def test_stdout_and_stderr_are_kept_apart_and_the_exit_code_is_told(line: Line, busybox_image: str) -> None:
    await line.assign("a", image=busybox_image, command="echo one; echo two >&2; printf three; exit 3")
    finished = await line.expect(Finished)
    assert (finished.outcome.kind, finished.outcome.exit_code) == ("exited", 3)
    assert line.texts("a", STDOUT) == ["one", "three"]
    assert line.texts("a", STDERR) == ["two"]
    assert [each.seq for each in line.lines("a")] == [0, 1, 2]
    assert finished.outcome.lines == 3
    assert finished.outcome.result.image_digest.startswith("sha256:")


async def test_phases_are_told_in_order_and_the_first_at_once(line: Line, busybox_image: str) -> None:
    await line.assign("a", image=busybox_image, command="true")
    await line.expect(Finished)
    # An image in a file is unpacked for its first job, which is a phase of its own.
    phases = [message.phase for message in line.messages if isinstance(message, PhaseReport)]
    assert [phase for phase in phases if phase is not Phase.PULLING] == [Phase.STAGING, Phase.RUNNING]
    timed = set((await line.expect(Finished)).outcome.result.phases)
    assert timed - {Phase.PULLING} == {Phase.STAGING, Phase.RUNNING}


async def test_inputs_are_files_and_outputs_come_back(hub: FakeHub, line: Line, busybox_image: str) -> None:
    blob = hub.store(b"from a blob\n" * 100_000)
    await line.assign(
        "a",
        image=busybox_image,
        command='sh -c "cp -r /inputs/. /outputs/ && cat /etc/app.conf > /outputs/conf"',
        inputs={
            "text": DataRef("héllo"),
            "sub/value.json": DataRef({"a": [1, 2.5, None]}, "json"),
            "bin": DataRef("AAEC", "base64"),
            "big": DataRef(blob, "key"),
            "far": DataRef(f"{hub.base}/blobs/{blob}", "url"),
        },
        config_files={"/etc/app.conf": DataRef("x = 1"), "rel.conf": DataRef("y = 2")},
    )
    finished = await line.expect(Finished)
    assert finished.outcome.exit_code == 0, line.texts("a")
    assert finished.outcome.result.skipped == {}
    assert {name: hub.output(finished, name) for name in finished.outcome.result.outputs} == {
        "text": "héllo".encode(),
        "sub/value.json": b'{"a":[1,2.5,null]}',
        "bin": b"\0\1\2",
        "big": hub.blobs[blob],
        "far": hub.blobs[blob],
        "conf": b"x = 1",
        "rel.conf": b"y = 2",
    }


async def test_inputs_can_not_be_changed_by_the_job(line: Line, busybox_image: str) -> None:
    await line.assign("a", image=busybox_image, command="echo no > /inputs/x", inputs={"x": DataRef("yes")})
    assert (await line.expect(Finished)).outcome.exit_code == 1


async def test_the_environment_says_where_things_are(hub: FakeHub, line: Line, busybox_image: str) -> None:
    await line.assign("a", image=busybox_image, command="env", env={"MINE": "1", "JOB_ID": "forged"})
    await line.expect(Finished)
    texts = line.texts("a")
    url = f"{hub.base}/j/{job('a')}"
    assert {
        "MINE=1",
        f"JOB_ID={job('a')}",
        "JOB_INPUTS=/inputs",
        "JOB_OUTPUTS=/outputs",
        "JOB_CACHE=/job-cache",
        f"JOB_URL_PREFIX={url}",
        f"JOB_INPUTS_URL_PREFIX={url}/inputs/",
        f"JOB_OUTPUTS_URL_PREFIX={url}/outputs/",
    } <= set(texts)


async def test_the_cache_stays_between_jobs(line: Line, busybox_image: str) -> None:
    await line.assign("a", image=busybox_image, command="echo kept > /job-cache/note")
    await line.expect(Finished)
    await line.assign("b", image=busybox_image, command="cat /job-cache/note")
    await line.expect(Finished, lambda message: message.job == job("b"))
    assert line.texts("b") == ["kept"]


async def test_outputs_of_a_failed_job_are_kept_too(hub: FakeHub, line: Line, busybox_image: str) -> None:
    await line.assign("a", image=busybox_image, command="echo why > /outputs/log; exit 1")
    finished = await line.expect(Finished)
    assert finished.outcome.exit_code == 1
    assert hub.output(finished, "log") == b"why\n"


async def test_a_time_limit_stops_politely_and_keeps_the_outputs(hub: FakeHub, line: Line, busybox_image: str) -> None:
    command = "trap 'echo bye; echo late > /outputs/x; exit 9' TERM; echo up; while :; do sleep 0.1; done"
    await line.assign("a", image=busybox_image, command=command, time_limit=700)
    finished = await line.expect(Finished)
    assert finished.outcome.kind == "timed_out"
    assert "700 ms" in finished.outcome.message
    assert line.texts("a") == ["up", "bye"]
    assert hub.output(finished, "x") == b"late\n"


async def test_an_abort_kills_the_container_and_releases(line: Line, busybox_image: str) -> None:
    await line.assign("a", image=busybox_image, command="trap '' TERM; echo up; sleep 1000")
    await line.expect(PhaseReport, lambda message: message.phase is Phase.RUNNING)
    await line.send(Abort(job("a"), 1, "cancelled"))
    assert (await line.expect(Released)).attempt == 1
    assert not [message for message in line.messages if isinstance(message, Finished)]


async def test_a_command_that_is_not_in_the_image_exits_127_as_in_a_shell(line: Line, busybox_image: str) -> None:
    await line.assign("a", image=busybox_image, command=["/no/such/program"])
    outcome = (await line.expect(Finished)).outcome
    assert (outcome.kind, outcome.exit_code) == ("exited", 127)
    assert "/no/such/program" in line.texts("a", STDERR)[0]


async def test_a_working_directory_that_can_not_be_is_the_jobs_fault(line: Line, busybox_image: str) -> None:
    await line.assign("a", image=busybox_image, command="true", workdir="not/absolute")
    outcome = (await line.expect(Finished)).outcome
    assert (outcome.kind, outcome.fault) == ("error", Fault.JOB)
    assert "not/absolute" in outcome.message


async def test_memory_is_limited_and_the_engine_is_asked_about_it(line: Line, busybox_image: str) -> None:
    await line.assign(
        "a",
        image=busybox_image,
        command=["/bin/sh", "-c", "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}"],
        requirements=Requirements(memory="32MiB"),
    )
    outcome = (await line.expect(Finished)).outcome
    assert outcome.kind == "out_of_memory"


@pytest.mark.parametrize("means", ["docker", "oci", "oci, ordinary user"], indirect=True)
@pytest.mark.parametrize("code", [3, 0])
async def test_a_child_that_ran_out_of_memory_leaves_the_exit_code_to_the_command_and_is_told(
    line: Line, busybox_image: str, code: int
) -> None:
    hog = "echo 1000 > /proc/self/oom_score_adj; x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}"
    await line.assign(
        "a",
        image=busybox_image,
        command=["/bin/sh", "-c", f"sh -c '{hog}' || echo went on; exit {code}".replace("'\\0'", '"\\0"')],
        requirements=Requirements(memory="32MiB"),
    )
    outcome = (await line.expect(Finished)).outcome
    assert (outcome.kind, outcome.exit_code, line.texts("a", STDOUT)) == ("exited", code, ["went on"])
    assert outcome.message == (
        "a process of the job was killed, because it needed more memory than the 32 MiB that it may have; "
        "ask for more in requirements.memory"
    )


async def test_the_last_lines_of_a_flood_are_not_lost(line: Line, busybox_image: str) -> None:
    await line.assign("a", image=busybox_image, command="seq 1 50000; printf end")
    finished = await line.expect(Finished)
    assert line.texts("a") == [*(str(number) for number in range(1, 50_001)), "end"]
    assert finished.outcome.lines == 50_001


async def test_a_long_line_of_a_container_is_whole_with_its_end(line: Line, busybox_image: str) -> None:
    script = "head -c 300000 /dev/zero | tr '\\0' x; printf '\\r\\nend'"
    await line.assign("a", image=busybox_image, command=["sh", "-c", script])
    await line.expect(Finished)
    lines = line.lines("a")
    assert "".join(each.text + LINE_ENDS[each.end] for each in lines) == "x" * 300_000 + "\r\nend"
    assert len(lines) == 300_000 // LOG_LINE_BYTES + 2
