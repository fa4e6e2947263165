"""Outputs for which the hub has no room, seen by the person who runs the job."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from devtools.asman_processes import asman, asman_processes


async def test_an_exit_code_stays_when_an_output_is_beyond_the_quota(tmp_path: Path) -> None:
    quota = {"ASMAN_BLOB_QUOTA": "100KiB"}
    make = "cd $JOB_OUTPUTS; echo small > small; head -c 200000 /dev/zero > large; exit 7"
    with asman_processes(tmp_path) as started:
        up = await asyncio.to_thread(
            lambda: started.hub("--queue", "q-kept", "--executor", "process", command="up", environment=quota)
        )
        ran = await asyncio.to_thread(asman, "run", up.queue("q-kept"), "--json", "--", "sh", "-c", make)
    assert ran.returncode == 7, ran.stderr
    assert "not kept: large: it could not be stored: the hub's quota for blobs is 100 KiB" in ran.stderr
    assert "the job exited with code 7: 1 of 2 outputs could not be stored: " in ran.stderr
    value = json.loads(ran.stdout)
    assert (list(value["outputs"]), list(value["skipped"])) == (["small"], ["large"])
    assert (value["verdict"]["reason"], value["verdict"]["exit_code"]) == ("Failed", 7)
