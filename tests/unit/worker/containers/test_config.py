"""The configuration of a job's container: what it may do, what it gets, and where its files are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asman_shared.definition import Build, Definition, Shape
from asman_shared.errors import BadDefinition, ExecutionError
from asman_shared.units import MIB
from asman_worker.containers.config import (
    CAPABILITIES,
    LABEL_ATTEMPT,
    LABEL_JOB,
    LABEL_WORKER,
    NO_NETWORK,
    Confines,
    container_config,
    container_name,
    image_of,
    is_build,
    shared_memory,
)
from asman_worker.execution.folders import JobFolder
from asman_worker.execution.interface import AttemptSpec

JOB = "ab" * 32


def spec(tmp_path: Path, shape: Shape | None = None, *, mounts: dict[str, Path] | None = None, **more: Any) -> Any:
    folder = JobFolder(tmp_path / "a-1")
    folder.make()
    gpus = more.pop("gpus", ())
    definition = Definition(image="alpine", **more)
    return AttemptSpec(JOB, 3, definition, shape or Shape(), folder, tmp_path / "cache", mounts or {}, gpus=gpus)


def host(tmp_path: Path, confines: Confines | None = None, **more: Any) -> Any:
    return container_config(spec(tmp_path, **more), "alpine", confines or Confines("w"))["HostConfig"]


def test_a_container_may_do_little_and_can_not_gain_more(tmp_path: Path) -> None:
    made = host(tmp_path)
    assert (made["Privileged"], made["CapDrop"], made["CapAdd"]) == (False, ["ALL"], list(CAPABILITIES))
    assert (made["SecurityOpt"], made["IpcMode"]) == (["no-new-privileges"], "private")
    assert not {"SYS_ADMIN", "NET_RAW", "NET_ADMIN", "SYS_PTRACE", "MKNOD"} & set(CAPABILITIES)
    assert {"Name": "core", "Soft": 0, "Hard": 0} in made["Ulimits"]
    assert not {"Devices", "PidMode", "UsernsMode", "VolumesFrom"} & set(made)


def test_a_container_is_labelled_and_named_for_its_attempt_and_worker(tmp_path: Path) -> None:
    made = container_config(spec(tmp_path), "alpine@x", Confines("incarnation"))
    assert made["Labels"] == {LABEL_WORKER: "incarnation", LABEL_JOB: JOB, LABEL_ATTEMPT: "3"}
    assert made["Image"] == "alpine@x"
    names = {container_name(who, (job, at)) for who in ("a" * 9, "b" * 9) for job in (JOB, "c" * 64) for at in (1, 2)}
    assert len(names) == 8


def test_what_is_not_said_is_left_to_the_image(tmp_path: Path) -> None:
    assert not {"Cmd", "Entrypoint", "WorkingDir"} & set(container_config(spec(tmp_path), "a", Confines("w")))
    made = container_config(spec(tmp_path, command="echo hi", entrypoint=["sh"], workdir="/w"), "a", Confines("w"))
    assert (made["Cmd"], made["Entrypoint"], made["WorkingDir"]) == (["echo", "hi"], ["sh"], "/w")


@pytest.mark.parametrize(("cpus", "nano"), [(1000, 10**9), (250, 250_000_000), (1, 10_000_000)])
def test_cpus_are_enforced_down_to_a_hundredth(tmp_path: Path, cpus: int, nano: int) -> None:
    assert host(tmp_path, shape=Shape(cpus=cpus))["NanoCpus"] == nano


@pytest.mark.parametrize(
    ("shape", "memory", "cpus", "most"),
    [
        (Shape(), 0, 0, 0),
        (Shape(memory=100 * MIB), 0, 0, 100 * MIB),
        (Shape(memory=1), 0, 0, 6 * MIB),
        (Shape(memory=900 * MIB), 500 * MIB, 4000, 900 * MIB),
        (Shape(cpus=1000), 4000 * MIB, 4000, 1000 * MIB),
        (Shape(cpus=9000), 4000 * MIB, 4000, 4000 * MIB),
        (Shape(cpus=1), 4000 * MIB, 4000, 64 * MIB),
        (Shape(cpus=1), 32 * MIB, 4000, 32 * MIB),
        (Shape(), 4000 * MIB, 0, 4000 * MIB),
    ],
)
def test_a_job_has_the_memory_that_it_asked_for_or_its_share(
    tmp_path: Path, shape: Shape, memory: int, cpus: int, most: int
) -> None:
    made = host(tmp_path, Confines("w", memory=memory, cpus=cpus), shape=shape)
    assert made["Memory"] == made["MemorySwap"] == most


def test_the_shares_of_jobs_that_fit_together_are_no_more_than_there_is() -> None:
    confines = Confines("w", memory=4000 * MIB, cpus=4000)
    assert sum(confines.memory_of(Shape(cpus=1000)) for _ in range(4)) <= 4000 * MIB


def test_without_a_network_localhost_has_a_meaning_all_the_same(tmp_path: Path) -> None:
    made = container_config(spec(tmp_path), "a", Confines("w", network=NO_NETWORK))
    assert made["NetworkDisabled"] is True
    (hosts,) = [bind for bind in made["HostConfig"]["Binds"] if "/etc/hosts" in bind]
    assert hosts.endswith(":ro,z")
    assert "127.0.0.1\tlocalhost" in Path(hosts.split(":")[0]).read_text()
    assert "NetworkDisabled" not in container_config(spec(tmp_path), "a", Confines("w"))


def test_inputs_and_config_files_are_read_only_and_outputs_are_not(tmp_path: Path) -> None:
    binds = host(tmp_path, mounts={"/etc/app.conf": tmp_path / "conf"})["Binds"]
    root = tmp_path / "a-1"
    assert binds == [
        f"{root}/inputs:/inputs:ro,z",
        f"{root}/outputs:/outputs:z",
        f"{tmp_path}/cache:/job-cache:z",
        f"{tmp_path}/conf:/etc/app.conf:ro,z",
    ]


@pytest.mark.parametrize(
    "target", ["/", "/inputs", "/inputs/x", "/outputs/x", "/job-cache", "/proc/x", "/sys", "/dev/null", "/a:rw"]
)
def test_a_config_file_can_not_be_put_over_what_is_the_workers_or_the_kernels(tmp_path: Path, target: str) -> None:
    with pytest.raises(ExecutionError, match="can't be put there"):
        host(tmp_path, mounts={target: tmp_path / "conf"})


@pytest.mark.parametrize("target", ["/inputsx", "/etc/hosts", "/devices"])
def test_a_name_that_only_begins_alike_is_free(tmp_path: Path, target: str) -> None:
    binds = host(tmp_path, Confines("w", network=NO_NETWORK), mounts={target: tmp_path / "conf"})["Binds"]
    assert [bind for bind in binds if f":{target}:" in bind] == [f"{tmp_path}/conf:{target}:ro,z"]


def test_shared_memory_is_of_the_jobs_own_memory(tmp_path: Path) -> None:
    made = spec(tmp_path, shm_size="64m")
    assert shared_memory(made, 0) == shared_memory(made, 64 * MIB) == 64 * MIB
    with pytest.raises(ExecutionError, match="more than the job's memory"):
        shared_memory(made, 64 * MIB - 1)
    assert "ShmSize" not in host(tmp_path)


def test_the_operators_choices_are_in_every_container(tmp_path: Path) -> None:
    confines = Confines("w", pids=7, log_bytes=10 * MIB, runtime="runsc", disk=99, ulimits=(("nofile", 5),))
    made = host(tmp_path, confines, gpus=("GPU-1",))
    assert (made["PidsLimit"], made["Runtime"], made["StorageOpt"]) == (7, "runsc", {"size": "99"})
    assert made["LogConfig"]["Config"] == {"max-size": str(5 * MIB), "max-file": "2"}
    assert {"Name": "nofile", "Soft": 5, "Hard": 5} in made["Ulimits"]
    assert made["DeviceRequests"][0]["DeviceIDs"] == ["GPU-1"]
    assert not {"Runtime", "StorageOpt", "DeviceRequests"} & set(host(tmp_path))


def test_the_gpus_of_a_container_are_numbered_from_0_whichever_they_are(tmp_path: Path) -> None:
    def visible(number: int, gpus: tuple[str, ...], **more: Any) -> tuple[list[str], list[str]]:
        made = container_config(spec(tmp_path / str(number), gpus=gpus, **more), "alpine", Confines("w"))
        named = [each for each in made["Env"] if each.startswith("CUDA_VISIBLE_DEVICES=")]
        return named, made.get("Cmd", [])

    for number in range(4):
        (tmp_path / str(number)).mkdir()
    assert visible(0, ("GPU-7",))[0] == ["CUDA_VISIBLE_DEVICES=0"]
    assert visible(1, ("3", "GPU-1"), command="x $CUDA_VISIBLE_DEVICES") == (
        ["CUDA_VISIBLE_DEVICES=0,1"], ["x", "0,1"],
    )  # fmt: skip
    assert visible(2, ())[0] == [], "the image's own setting means nothing where there is no gpu"
    assert visible(3, ("3", "GPU-1"), env={"CUDA_VISIBLE_DEVICES": "1"})[0] == ["CUDA_VISIBLE_DEVICES=1"]


def test_a_command_with_an_open_quote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDefinition):
        container_config(spec(tmp_path, command="echo 'x"), "a", Confines("w"))


def test_an_image_is_named_or_built() -> None:
    assert image_of(Definition(image="alpine")) == "alpine"
    assert not is_build(Definition(image="alpine", build=Build(platform="linux/arm64")))
    assert is_build(Definition(build=Build(dockerfile="FROM a")))
    with pytest.raises(ExecutionError, match="names no image"):
        image_of(Definition())


def test_volumes_take_the_place_of_the_outputs_and_only_the_outermost_are_mounted(tmp_path: Path) -> None:
    binds = host(tmp_path, volumes=["/v/in", "/v", "/outputs/own"])["Binds"]
    root = tmp_path / "a-1"
    assert [bind for bind in binds if "/outputs" in bind] == [
        f"{root}/outputs/v:/v:z",
        f"{root}/outputs/outputs/own:/outputs/own:z",
    ]


def test_a_shell_opens_the_files_of_standard_streams_whatever_the_entrypoint(tmp_path: Path) -> None:
    made = container_config(
        spec(tmp_path, stdin="/v/it's", stderr="/v/e", command=["a", "b"], entrypoint=["c"], volumes=["/v"]),
        "x",
        Confines("w"),
    )
    script = """exec "$@" < '/v/it'"'"'s' 2> /v/e"""
    assert (made["Entrypoint"], made["Cmd"]) == (["/bin/sh"], ["-c", script, "sh", "c", "a", "b"])


def test_the_containers_of_steps_have_names_of_their_own() -> None:
    assert container_name("incarnation", ("ab", 2)) == "asman-ab-2-incarn"
    assert container_name("incarnation", ("ab", 2), 3) == "asman-ab-2-incarn-step3"
