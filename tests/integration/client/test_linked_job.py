"""A real hub shows a job by its URL with a key, and jobs that failed run again."""

from __future__ import annotations

import json

from devtools.asman_processes import asman
from tests.support.shapes import holds


def test_a_jobs_url_shows_it_without_the_queue_and_it_is_retried(up: str) -> None:
    command = ("--", "sh", "-c", "echo made > $JOB_OUTPUTS/a.txt; exit 3")
    ran = asman("run", up, *command)
    assert ran.returncode == 3
    url = ran.stderr.splitlines()[0].partition(" ")[2]
    assert "~" in url
    shown = asman("job", "show", url, "--json")
    value = json.loads(shown.stdout)
    holds(value, "job show")
    by_queue = json.loads(asman("job", "show", up, url, "--json").stdout)
    for name in ("id", "state", "url", "worker", "definition"):
        assert value[name] == by_queue[name], name
    assert {name: value["verdict"][name] for name in ("ok", "reason", "exit_code")} == {
        "ok": False,
        "reason": "Failed",
        "exit_code": 3,
    }
    assert value["outputs"]["a.txt"]["sha256"] == by_queue["outputs"]["a.txt"]["sha256"]
    again = asman("job", "retry", up, "--state", "Failed", "--yes", "--json")
    (value,) = json.loads(again.stdout)
    holds(json.loads(again.stdout), "job retry")
    assert (value["answer"], again.returncode) == ("queued", 0)
    assert asman("job", "wait", up, value["id"]).returncode == 3
    second = json.loads(asman("job", "show", up, value["id"], "--json").stdout)
    assert second["queued"] > by_queue["queued"]


def test_a_failed_job_runs_again_and_the_command_line_shows_its_earlier_run(up: str) -> None:
    command = ("--", "sh", "-c", "echo said; exit 5")
    first = asman("run", up, "--json", *command)
    second = asman("run", up, *command)
    assert (first.returncode, second.returncode) == (5, 5)
    assert "it ran before, and exited with code 5" in second.stderr
    taken = asman("run", up, "--reuse", "any", *command)
    assert taken.returncode == 5
    assert taken.stderr.startswith("cached, not run again: ")
    job = json.loads(first.stdout)["id"]
    shown = asman("job", "show", up, job, "--runs")
    assert [line.split()[:3] for line in shown.stdout.splitlines()[-2:]] == [["1", "Failed", "5"], ["2", "Failed", "5"]]
    value = json.loads(asman("job", "show", up, job, "--runs", "--json").stdout)
    holds(value, "job show")
    assert [run["number"] for run in value["runs"]] == [1, 2]
    for run in ("1", "2"):
        assert asman("job", "logs", up, job, "--run", run).stdout == "said\n"
    assert asman("job", "logs", up, job, "--run", "3").returncode != 0
    assert asman("job", "logs", up, job, "--run", "1", "--follow").returncode == 2
