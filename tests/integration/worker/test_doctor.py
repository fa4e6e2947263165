"""What ``asman doctor`` says of this machine, with a real engine and a real hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asman_shared.address import parse_address
from asman_shared.keys.derived import key_addresses
from asman_worker import doctor as doctor_module
from asman_worker import load_config
from asman_worker.doctor import Finding, examine
from asman_worker.neighbours import Offer
from devtools.asman_processes import HubProcess, asman
from devtools.ports import free_port


def findings(*arguments: str, code: int = 0) -> dict[str, dict[str, Any]]:
    done = asman("doctor", *arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is (code == 0)
    return {finding["what"]: finding for finding in told["findings"]}


def test_a_machine_that_can_work_is_told_so(
    hub_process: Callable[..., HubProcess], tmp_path: Path, busybox_image: str
) -> None:
    hub = hub_process()
    told = findings(hub.queue("abc"), "--data-dir", str(tmp_path))
    # Other tests may run workers at the same time.
    assert {what: each["mark"] for what, each in told.items() if each["mark"] != "ok" and what != "workers"} == {}
    assert {"data folder", "disk", "gpus", "engine", "limits", "network", "hub", "clock", "git"} <= set(told)
    can = told["executors"]["says"]
    assert can.startswith("this machine can do docker (containers of the engine ")
    assert "oci (memory, cpus and processes are limited by control groups of version" in can
    assert "bubblewrap (" not in can  # it is for users who are not root
    assert told["folder seen by the engine"]["says"] == f"the engine sees {tmp_path}"
    assert list(tmp_path.glob("probe-*")) == []


def test_each_problem_comes_with_a_remedy(tmp_path: Path, engine: object) -> None:
    file = tmp_path / "file"
    file.touch()
    nobody = f"http://127.0.0.1:{free_port()}/q/none"
    told = findings(
        nobody, "--data-dir", str(file / "x"), "--docker", f"unix://{tmp_path}/no.sock", "--gpus", "7", code=125
    )
    problems = {what for what, finding in told.items() if finding["mark"] == "problem"}
    assert problems == {"data folder", "gpus", "engine", "hub"}
    assert all(finding["remedy"] for finding in told.values() if finding["mark"] != "ok")
    words = asman("doctor", nobody, "--data-dir", str(tmp_path), "--executor", "process")
    assert words.returncode == 125
    assert "problem  hub: " in words.stdout
    assert "ok       folders of jobs: jobs that name /inputs and /outputs have them there" in words.stdout
    assert "         → check the address" in words.stdout


def test_without_an_engine_the_executor_that_works_here_is_named(tmp_path: Path) -> None:
    told = findings("--data-dir", str(tmp_path), "--docker", f"unix://{tmp_path}/no.sock", code=125)
    assert " oci (" in told["executors"]["says"]
    assert told["engine"]["remedy"].endswith("; or use --executor oci, which needs no engine and works here")
    assert list(tmp_path.glob("probe-*")) == []


def test_a_machine_that_can_run_containers_without_an_engine_is_told_so(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/q/none"
    told = findings(nobody, "--data-dir", str(tmp_path), "--executor", "oci", "--network", "none", code=125)
    found = told["containers without an engine"]
    assert found["mark"] == "ok"
    assert "run them; memory, cpus and processes are limited by control groups of version" in found["says"]
    assert "engine" not in told
    assert told["hub"]["mark"] == "problem"
    assert list(tmp_path.iterdir()) == []
    connected = findings(nobody, "--data-dir", str(tmp_path), "--executor", "oci", code=125)
    assert connected["network"]["says"] == "jobs can reach the internet, but not this host or its networks"


def test_a_machine_without_a_runtime_is_told_what_to_install(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/q/none"
    told = findings(nobody, "--data-dir", str(tmp_path), "--executor", "oci", "--runtime", "no-such-runtime", code=125)
    found = told["containers without an engine"]
    assert found["mark"] == "problem"
    assert found["says"] == (
        "the runtime 'no-such-runtime' is not installed: install crun (or runc) and tini (or catatonit)"
    )
    assert "install crun" in found["remedy"]


async def test_an_engine_that_has_another_folder_at_that_path_is_noticed(
    tmp_path: Path, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A folder that is only in this process's own view, as in a container that shares the engine's socket.
    async def elsewhere(docker: object, image: str, folder: Path) -> bool:
        folder.rmdir()
        return await original(docker, image, folder)  # type: ignore[arg-type]

    original = doctor_module._sees
    monkeypatch.setattr(doctor_module, "_sees", elsewhere)
    config = load_config(data_dir=tmp_path, network="none")
    found: list[Finding] = [finding async for finding in examine(config)]
    seen = next(finding for finding in found if finding.what == "folder seen by the engine")
    assert seen.mark == "problem"
    assert f"-v {tmp_path}:{tmp_path}" in seen.remedy


async def test_a_usual_engine_that_is_missing_is_no_problem_beside_a_worker_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    config = load_config(data_dir=tmp_path)
    for running, mark in (([], "problem"), ([Offer(1, 1, 1, 0)], "warning")):
        monkeypatch.setattr(doctor_module, "offers", lambda running=running: running)
        found = {finding.what: finding async for finding in examine(config)}
        assert found["engine"].mark == mark
    assert "a worker runs on this machine, which uses another engine" in found["engine"].says


async def test_a_key_that_the_hub_does_not_know_is_a_problem(
    hub_process: Callable[..., HubProcess], tmp_path: Path
) -> None:
    hub = hub_process()
    urls = {kind.value: each.url for kind, each in key_addresses(parse_address(hub.queue("abc"))).items()}

    def key(kind: str, code: int) -> tuple[str, str]:
        told = findings(urls[kind], "--data-dir", str(tmp_path), "--executor", "process", code=code)["key"]
        return told["mark"], told["says"]

    assert key("work", 125) == ("problem", "no queue of the hub has this key")
    assert asman("queue", "keys", hub.queue("abc")).returncode == 0
    assert key("read", 125) == ("problem", "this key reads, but does not work for the queue")
    assert key("work", 0) == ("ok", "the hub knows it")
