"""Tasks that run in real containers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.tes_door import OLDER, TesDoor

pytestmark = pytest.mark.usefixtures("worker")


def task(image: str, script: str, **more: Any) -> dict[str, Any]:
    """A task with one executor that runs a script of the shell."""
    executor = {"image": image, "command": ["sh", "-c", script], **more.pop("executor", {})}
    return {"executors": [executor], **more}


async def test_a_task_reads_and_writes_files_anywhere(door: TesDoor, busybox_image: str) -> None:
    made = task(
        busybox_image,
        "tr a-z A-Z; cat /data/deep/two >> /out/all; echo err >&2; echo $WHO; pwd; mkdir -p $TMP/d; echo x > $TMP/d/x",
        name="first",
        description="reads and writes",
        inputs=[
            {"path": "/data/one", "content": "one\n", "type": "FILE"},
            {"path": "/data/deep/two", "content": "t" * 5000, "name": "two"},
        ],
        outputs=[
            {"path": "/out/all", "url": "", "type": "FILE"},
            {"path": "/out/std/o", "url": "asman:kept"},
            {"path": "/scratch/d/", "type": "DIRECTORY", "url": ""},
        ],
        volumes=["/scratch"],
        tags={"project": "x", "empty": ""},
        resources={"cpu_cores": 2, "ram_gb": 0.25, "disk_gb": 10, "preemptible": True},
        executor={
            "env": {"WHO": "me", "TMP": "/scratch"},
            "workdir": "/work/dir",
            "stdin": "/data/one",
            "stdout": "/out/std/o",
        },
    )
    made_id = await door.create(made)
    found = await door.over(made_id)
    assert found["state"] == "COMPLETE", found
    log = found.pop("logs")
    assert {name: found[name] for name in made} == made
    assert set(found) == {*made, "id", "state", "creation_time"}
    (log,) = log
    (executor,) = log["logs"]
    assert (executor["exit_code"], executor["stdout"], executor["stderr"]) == (0, "ONE\nme\n/work/dir\n", "err\n")
    assert found["creation_time"] <= log["start_time"] <= executor["start_time"] <= executor["end_time"]
    assert executor["end_time"] <= log["end_time"]
    outputs = {each["path"]: each for each in log["outputs"]}
    assert {path: each["size_bytes"] for path, each in outputs.items()} == {
        "/out/all": "5000",
        "/out/std/o": "17",
        "/scratch/d/x": "2",
    }
    assert await door.bytes_at(outputs["/out/std/o"]["url"]) == b"ONE\nme\n/work/dir\n"
    assert await door.bytes_at(outputs["/scratch/d/x"]["url"]) == b"x\n"


async def test_the_views_hold_more_and_more(door: TesDoor, busybox_image: str) -> None:
    made_id = await door.create(
        task(busybox_image, "echo out", inputs=[{"path": "/in/a", "content": "secret"}, {"path": "/in/b"}])
    )
    full = await door.over(made_id)
    assert full["inputs"] == [{"path": "/in/a", "content": "secret"}, {"path": "/in/b"}]
    basic = await door.get(made_id, "BASIC")
    assert basic["inputs"] == [{"path": "/in/a"}, {"path": "/in/b"}]
    assert basic["logs"][0]["start_time"] == full["logs"][0]["start_time"]
    assert set(basic["logs"][0]["logs"][0]) == {"exit_code", "start_time", "end_time"}
    assert await door.get(made_id, "MINIMAL") == {"id": made_id, "state": "COMPLETE"}
    assert await door.get(made_id, "BASIC", at=OLDER) == basic


async def test_a_task_that_fails_has_its_exit_code_its_text_and_its_outputs(door: TesDoor, busybox_image: str) -> None:
    made = task(
        busybox_image,
        "echo partly > /out/a; echo why >&2; exit 7",
        outputs=[{"path": "/out/a", "url": ""}, {"path": "/out/never", "url": ""}],
    )
    found = await door.over(await door.create(made))
    (log,) = found["logs"]
    assert (found["state"], log["logs"][0]["exit_code"], log["logs"][0]["stderr"]) == ("EXECUTOR_ERROR", 7, "why\n")
    assert [each["path"] for each in log["outputs"]] == ["/out/a"]
    assert "not kept: /out/never: no file matches this pattern" in log["system_logs"]


async def test_an_image_that_is_nowhere_is_an_error_of_the_system(door: TesDoor) -> None:
    found = await door.over(await door.create(task("nobody/nothing:1", "true")))
    (log,) = found["logs"]
    assert (found["state"], log["logs"]) == ("SYSTEM_ERROR", [])
    assert "nobody/nothing:1" in log["system_logs"][0]


async def test_executors_run_in_sequence_and_each_has_its_log(door: TesDoor, busybox_image: str) -> None:
    def executor(script: str, **more: Any) -> dict[str, Any]:
        return {"image": busybox_image, "command": ["sh", "-c", script], **more}

    made = {
        "executors": [
            executor("echo one; cat /in/x > /shared/y", stdout="/shared/o1"),
            executor("echo two >&2; cat >> /shared/y; exit 3", stdin="/shared/o1", ignore_error=True),
            executor("echo three; ls /"),
            executor("false"),
            executor("echo never"),
        ],
        "inputs": [{"path": "/in/x", "content": "x\n"}],
        "volumes": ["/shared"],
        "outputs": [{"path": "/shared/y", "url": ""}],
    }
    found = await door.over(await door.create(made))
    (log,) = found["logs"]
    assert found["state"] == "EXECUTOR_ERROR"
    assert [each["exit_code"] for each in log["logs"]] == [0, 3, 0, 1]
    assert [each["stderr"] for each in log["logs"]] == ["", "two\n", "", ""]
    assert log["logs"][0]["stdout"] == "one\n"
    assert log["logs"][2]["stdout"].startswith("three\n")
    ends = [(each["start_time"], each["end_time"]) for each in log["logs"]]
    assert ends == sorted(ends)
    assert await door.bytes_at(log["outputs"][0]["url"]) == b"x\none\n"
    assert found["executors"] == made["executors"]


async def test_a_pattern_of_outputs_keeps_what_matches_and_special_letters_are_plain_without_a_prefix(
    door: TesDoor, busybox_image: str
) -> None:
    made = task(
        busybox_image,
        "cd /out; touch a.txt b.txt c.log; echo star > '[x]*'; echo no > xy",
        outputs=[
            {"path": "/out/*.txt", "path_prefix": "/out", "url": ""},
            {"path": "/out/[x]*", "url": ""},
        ],
    )
    found = await door.over(await door.create(made))
    assert [each["path"] for each in found["logs"][0]["outputs"]] == ["/out/[x]*", "/out/a.txt", "/out/b.txt"]


async def test_outputs_may_overlap(door: TesDoor, busybox_image: str) -> None:
    made = task(
        busybox_image,
        "echo out; echo more > more",
        outputs=[
            {"path": "/AbCdEf/out.txt", "url": "", "type": "FILE"},
            {"path": "/AbCdEf", "url": "", "type": "DIRECTORY"},
        ],
        executor={"workdir": "/AbCdEf", "stdout": "/AbCdEf/out.txt"},
    )
    found = await door.over(await door.create(made))
    assert [each["path"] for each in found["logs"][0]["outputs"]] == ["/AbCdEf/more", "/AbCdEf/out.txt"]


async def test_each_task_has_an_empty_tmp_of_its_own_in_which_it_may_write(door: TesDoor, busybox_image: str) -> None:
    made = task(
        busybox_image,
        "mkdir /tmp/conda && cat script.sh && ls",
        inputs=[{"path": "/tmp/script.sh", "content": "hello\n"}],
        executor={"workdir": "/tmp"},
    )
    for _ in range(2):
        found = await door.over(await door.create(made))
        assert (found["state"], found["logs"][0]["logs"][0]["stdout"]) == ("COMPLETE", "hello\nconda\nscript.sh\n")


async def test_an_input_comes_from_the_outputs_of_another_task(door: TesDoor, busybox_image: str) -> None:
    first = await door.over(
        await door.create(task(busybox_image, "echo text > /o/x", outputs=[{"path": "/o/x", "url": ""}]))
    )
    (output,) = first["logs"][0]["outputs"]
    second = task(busybox_image, "cat /i/x", inputs=[{"path": "/i/x", "url": output["url"], "type": "FILE"}])
    found = await door.over(await door.create(second))
    assert found["logs"][0]["logs"][0]["stdout"] == "text\n", found
    assert found["inputs"] == second["inputs"]


async def test_an_equal_task_runs_anew_unless_it_asks_for_a_result(door: TesDoor, busybox_image: str) -> None:
    plain = task(busybox_image, "date +%s%N", name="a")
    ids = [await door.create(plain) for _ in range(2)]
    assert len(set(ids)) == 2
    tagged = {**plain, "tags": {"asman.reuse": "success"}}
    first = await door.create(tagged)
    await door.over(first)
    assert await door.create({**tagged, "name": "b"}) == first
    found = await door.get(first)
    assert (found["state"], found["name"]) == ("COMPLETE", "b")


async def test_a_failure_is_no_result_to_be_reused(door: TesDoor, busybox_image: str) -> None:
    made = task(
        busybox_image,
        "exit $(cut -c 30 /proc/sys/kernel/random/uuid | tr a-f 1-6 | tr 0 7)",
        tags={"asman.reuse": "success"},
    )
    first = await door.create(made)
    one = await door.over(first)
    assert one["state"] == "EXECUTOR_ERROR"
    assert await door.create(made) == first
    two = await door.over(first)
    assert two["logs"][0]["start_time"] > one["logs"][0]["start_time"]


async def test_a_running_task_is_cancelled_at_once_and_an_ended_one_stays_as_it_is(
    door: TesDoor, busybox_image: str
) -> None:
    made_id = await door.create(task(busybox_image, "echo begun; sleep 1000"))
    await door.until(made_id, "RUNNING")
    basic = await door.get(made_id, "BASIC")
    assert basic["logs"][0]["start_time"]
    assert basic["logs"][0]["logs"] == []
    assert await door.ask("POST", f"/tasks/{made_id}:cancel") == (200, {})
    assert (await door.get(made_id, "MINIMAL"))["state"] == "CANCELED"
    assert await door.ask("POST", f"/tasks/{made_id}:cancel", at=OLDER) == (200, {})
    found = await door.get(made_id)
    assert (found["state"], len(found["logs"])) == ("CANCELED", 1)
