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
