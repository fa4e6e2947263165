"""Uses the door with py-tes, in its own environment; prints what came as JSON. Both of its generations can do this.

usage: run_pytes.py URL IMAGE calls|waits|slow
"""

from __future__ import annotations

import json
import sys
from typing import Any

import tes

URL, IMAGE = sys.argv[1:3]
SECONDS = 120


def client(timeout: int = SECONDS) -> Any:
    """Returns a client of the queue."""
    return tes.HTTPClient(URL, timeout=timeout)


def script(text: str, **more: Any) -> Any:
    """Returns a task with one executor that runs a script."""
    executor = tes.Executor(image=IMAGE, command=["sh", "-c", text], **more.pop("executor", {}))
    return tes.Task(executors=[executor, *more.pop("others", ())], **more)


def plain(task: Any) -> dict[str, Any]:
    """Returns a task as JSON has it."""
    found: dict[str, Any] = json.loads(task.as_json())
    return found


def calls() -> dict[str, Any]:
    """Uses all that the door has."""
    cli = client()
    made = cli.create_task(
        script(
            "cat /in/a > /out/b; echo out; echo err >&2; exit 3",
            name="first",
            description="of py-tes",
            inputs=[tes.Input(path="/in/a", content="text", type="FILE")],
            outputs=[
                tes.Output(path="/out/b", url="", type="FILE"),
                tes.Output(path="/logs", url="", type="DIRECTORY"),
            ],
            resources=tes.Resources(cpu_cores=1, ram_gb=0.1, disk_gb=1.0),
            volumes=["/scratch"],
            tags={"from": "py-tes"},
            executor={"env": {"A": "b"}, "workdir": "/scratch", "stdout": "/logs/o", "stdin": "/in/a"},
        )
    )
    ended = cli.wait(made, timeout=SECONDS)
    basic, full = cli.get_task(made), cli.get_task(made, "FULL")
    good = cli.create_task(
        script("echo one > /v/x", volumes=["/v"], others=[tes.Executor(image=IMAGE, command=["cat", "/v/x"])])
    )
    cli.wait(good, timeout=SECONDS)
    waits = cli.create_task(script("sleep 1000", name="second"))
    cli.cancel_task(waits)
    cli.cancel_task(made)
    cancelled = cli.wait(waits, timeout=SECONDS)
    try:
        cli.create_task(script("true", inputs=[tes.Input(path="/x", url="s3://bucket/x", type="FILE")]))
        refused = ""
    except Exception as error:
        refused = str(error)
    first = cli.list_tasks(page_size=2)
    second = cli.list_tasks(view="FULL", page_size=2, page_token=first.next_page_token)
    return {
        "service": cli.get_service_info().as_dict(),
        "state": ended.state,
        "basic": plain(basic),
        "full": plain(full),
        "steps": plain(cli.get_task(good, "FULL")),
        "cancelled": cancelled.state,
        "refused": refused,
        "pages": [[task.id for task in page.tasks] for page in (first, second)],
        "ids": [made, good, waits],
    }


def waits() -> dict[str, Any]:
    """Waits for a task, whose id it tells; it goes on when the hub goes away."""
    cli = client()
    made = cli.create_task(script("true"))
    print(made, flush=True)
    failures = 0
    while True:
        try:
            return {"state": cli.wait(made, timeout=SECONDS).state, "failures": failures}
        except Exception:  # version 1.1.4 gives up at each failure, 0.4.2 does not
            failures += 1


def slow() -> dict[str, Any]:
    """Creates a task at a hub that answers too late."""
    return {"id": client(timeout=1).create_task(script("true"))}


print(json.dumps({"calls": calls, "waits": waits, "slow": slow}[sys.argv[3]](), default=str))
