"""The whole house: hub, worker, engine and command line as a newcomer uses them."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.asman_processes import AsmanProcesses, HubProcess, asman, asman_command, clean_environment
from devtools.engine import Engine

COPY = 'sh -c "cat /inputs/README.md > /outputs/readme-copied.md"'


@pytest.fixture
def up(hub_process: Callable[..., HubProcess], engine: Engine, busybox_image: str) -> HubProcess:
    environment = {"DOCKER_HOST": engine.host}
    own = ("--default-image", busybox_image, "--local-images", busybox_image)
    return hub_process(*own, "--queue", "house", command="up", environment=environment)


def containers_made(hub: HubProcess) -> int:
    """How many jobs of the queue have begun to run in a container, by the attempts that the hub has counted."""
    listed = asman("job", "list", hub.queue("house"), "--json")
    return sum(job.get("attempt", 0) for job in json.loads(listed.stdout))


def test_a_file_goes_through_a_container_and_the_same_job_again_runs_nothing(up: HubProcess, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Hello\nñ ✓\n" * 1000)
    first = asman(
        "job", "add", up.queue("house"), "--file", "README.md", "-c", COPY, "--wait", "-o", "out", folder=tmp_path
    )
    assert first.returncode == 0, first.stderr
    assert (tmp_path / "out" / "readme-copied.md").read_bytes() == (tmp_path / "README.md").read_bytes()
    made = containers_made(up)
    again = asman(
        "job", "add", up.queue("house"), "--file", "README.md", "-c", COPY, "--wait", "-o", "again", folder=tmp_path
    )
    assert again.returncode == 0, again.stderr
    assert "cached" in again.stderr
    assert (tmp_path / "again" / "readme-copied.md").read_bytes() == (tmp_path / "README.md").read_bytes()
    assert containers_made(up) == made == 1


def test_both_streams_and_the_exit_code_are_the_jobs(up: HubProcess) -> None:
    ran = asman("run", up.queue("house"), "--", "sh", "-c", "echo one; echo two >&2; exit 3")
    assert ran.returncode == 3
    assert ran.stdout == "one\n"
    assert "two\n" in ran.stderr


def test_a_missing_image_a_missing_host_and_a_missing_hub_are_one_clear_sentence_each(up: HubProcess) -> None:
    for arguments, words in (
        ([up.queue("house"), "-i", "nobody/nothing:1"], "could not be pulled"),
        (["http://no-such-host.invalid/q/x"], "no host named"),
        (["http://127.0.0.1:1/q/x"], "is the hub running?"),
    ):
        ran = asman("run", *arguments, "--", "true")
        assert ran.returncode not in (0, 1)
        assert words in ran.stderr
        assert "Traceback" not in ran.stderr


def test_outputs_and_results_are_served_by_the_jobs_url(up: HubProcess) -> None:
    ran = asman(
        "run", up.queue("house"), "--json", "--", "sh", "-c", "printf '<script>alert(1)</script>' > /outputs/a.html"
    )
    assert ran.returncode == 0, ran.stderr
    (job,) = json.loads(asman("job", "list", up.queue("house"), "--json").stdout)
    with urllib.request.urlopen(f"{up.url}/j/{job['id']}/outputs/a.html") as answer:
        assert answer.read() == b"<script>alert(1)</script>"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    with urllib.request.urlopen(f"{up.url}/j/{job['id']}/result.json") as answer:
        data = json.load(answer)["data"]
    assert (data["finishedReason"], data["finished"]["result"]["StatusCode"]) == ("Success", 0)


def test_a_killed_hub_costs_a_running_container_and_a_waiting_client_nothing(
    hub_process: Callable[..., HubProcess],
    processes: AsmanProcesses,
    engine: Engine,
    busybox_image: str,
    tmp_path: Path,
) -> None:
    hub = hub_process()
    worker = ["--data-dir", str(tmp_path / "worker"), "--local-images", busybox_image]
    processes.worker(hub.queue("q"), *worker, environment={"DOCKER_HOST": engine.host})
    go = tmp_path / "out.log"
    with go.open("wb") as out:
        client = subprocess.Popen(
            [
                *asman_command(),
                "run",
                hub.queue("q"),
                "-i",
                busybox_image,
                "--",
                "sh",
                "-c",
                "hostname; while [ ! -e $JOB_CACHE/go ]; do sleep 0.1; done; hostname",
            ],
            stdout=out,
            stderr=subprocess.DEVNULL,
            env=clean_environment(),
        )
        try:
            wait_for(lambda: go.read_text().count("\n") == 1)
            hub.kill()
            hub.start()
            (cache,) = (tmp_path / "worker").rglob("cache/*")
            (cache / "go").touch()
            assert client.wait(60) == 0
        finally:
            client.kill()
            client.wait()
    first, second = go.read_text().split()
    assert first == second, "the job ran in another container after the hub came back"


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
