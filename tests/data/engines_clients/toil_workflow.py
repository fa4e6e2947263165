"""A workflow of Toil's: a job, and two that use what it made; run by the Python of Toil's own environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from toil.common import Toil
from toil.job import Job


def words(job: Any) -> str:
    """Writes a file into the job store."""
    file = Path(job.fileStore.getLocalTempDir()) / "words"
    file.write_text("one two three")
    return str(job.fileStore.writeGlobalFile(str(file)))


def count(job: Any, file: str) -> str:
    """Counts the words of a file of the job store; tells also the host that it runs on."""
    found = Path(job.fileStore.readGlobalFile(file)).read_text().split()
    return f"{len(found)} words on {os.uname().nodename}"


def workflow(job: Any) -> Any:
    """Has both run, one after the other."""
    needs = {"memory": "500M", "cores": 1, "disk": "100M"}
    first = job.addChildJobFn(words, **needs)
    return first.addChildJobFn(count, first.rv(), **needs).rv()


if __name__ == "__main__":
    options = Job.Runner.getDefaultOptions(sys.argv[1])
    options.batchSystem = "tes"
    options.tes_endpoint = sys.argv[2]
    options.logLevel = "DEBUG" if "-v" in sys.argv else "INFO"
    options.disableCaching = True
    options.retryCount = 0
    options.maxLocalJobs = 1
    options.defaultMemory = 500_000_000
    options.defaultDisk = 100_000_000
    with Toil(options) as toil:
        print(toil.start(Job.wrapJobFn(workflow, memory="500M", cores=1, disk="100M")))
