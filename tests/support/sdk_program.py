"""A program of somebody with the SDK, of this version or an earlier one: nothing else is imported.

python sdk_program.py submit QUEUE NUMBER...     runs jobs and prints their ids as JSON
python sdk_program.py show QUEUE ID...           prints all that one sees of finished jobs as JSON
"""

import asyncio
import hashlib
import json
import sys

import asman

SCRIPT = (
    "echo begins {n}; cat $JOB_INPUTS/large | wc -c; mkdir $JOB_OUTPUTS/d; cp $JOB_INPUTS/large $JOB_OUTPUTS/d/copy;"
    " echo {n} >> $JOB_OUTPUTS/d/copy; echo small {n} > $JOB_OUTPUTS/small; echo ends >&2"
)


async def submit(queue: asman.Queue, numbers: list[str]) -> list[str]:
    jobs = []
    for n in numbers:
        large = hashlib.shake_128(n.encode()).digest(100_000)
        jobs.append(await queue.submit(command=["sh", "-c", SCRIPT.format(n=n)], inputs={"large": large, "note": n}))
    for job in jobs:
        await job.result()
    return [job.id for job in jobs]


async def show(queue: asman.Queue, ids: list[str]) -> dict[str, object]:
    shown: dict[str, object] = {}
    for each in ids:
        job = await queue.get(each)
        result = await job.result()
        outputs = {name: hashlib.sha256(await result.outputs[name].read_bytes()).hexdigest() for name in result.outputs}
        lines = [[line.seq, line.time, line.stream, line.text] async for line in job.logs()]
        shown[each] = {"exit": result.exit_code, "outputs": outputs, "lines": lines}
    return shown


async def main() -> None:
    async with asman.connect(sys.argv[2]) as queue:
        print(json.dumps(await {"submit": submit, "show": show}[sys.argv[1]](queue, sys.argv[3:])))


asyncio.run(main())
