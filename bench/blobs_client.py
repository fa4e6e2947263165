"""One client of the blobs scenario, in a process of its own: submits, waits, saves; prints what it took as JSON."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from pathlib import Path

import asman

#: Reads its input and leaves another file of the same size, so that nothing is there already on the way back.
COMMAND = 'tail -c +2 "$JOB_INPUTS/data" > "$JOB_OUTPUTS/data"; printf x >> "$JOB_OUTPUTS/data"'


async def _work(queue_url: str, data: Path, out: Path) -> dict[str, float]:
    moved = 0

    def progress(size: int) -> None:
        nonlocal moved
        moved += size

    async with asman.connect(queue_url) as queue:
        begun = time.monotonic()
        job = await queue.submit(command=COMMAND, files={"data": data}, progress=progress)
        submitted = time.monotonic()
        first, moved = moved, 0
        again = await queue.submit(command=COMMAND, files={"data": data}, progress=progress)
        submitted_again = time.monotonic()
        assert again.id == job.id
        result = await job.result()
        finished = time.monotonic()
        await result.save_outputs(out)
        saved = time.monotonic()
    return {
        "bytes": first,
        "bytes_again": moved,
        "upload": submitted - begun,
        "upload_again": submitted_again - submitted,
        "download": saved - finished,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        **{f"worker_{phase.value}": millis / 1000 for phase, millis in result.phases.items()},
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_work(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))))
