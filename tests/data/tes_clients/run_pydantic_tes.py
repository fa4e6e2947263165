"""Uses the door with pydantic-tes, in its own environment; prints what came as JSON.

usage: run_pydantic_tes.py URL IMAGE
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from pydantictes.api import TesClient
from pydantictes.models import TesExecutor, TesInput, TesOutput, TesResources, TesTask

URL, IMAGE = sys.argv[1:3]
WAITING = {"QUEUED", "INITIALIZING", "RUNNING"}


def plain(model: Any) -> dict[str, Any]:
    """Returns a model as JSON has it."""
    found: dict[str, Any] = json.loads(model.model_dump_json())
    return found


def over(client: TesClient, task: Any) -> Any:
    """Waits for the end of a task as Pulsar does, which asks for full tasks."""
    while (found := client.get_task(task, "FULL")).state.value in WAITING:
        time.sleep(0.2)
    return found


def script(text: str, **more: Any) -> TesTask:
    """Returns a task with one executor that runs a script."""
    return TesTask(executors=[TesExecutor(image=IMAGE, command=["sh", "-c", text])], **more)


client = TesClient(f"{URL}/")
task = script(
    "cat /in/a > /out/b; echo out; exit 2",
    name="first",
    inputs=[TesInput(path="/in/a", content="text", type="FILE")],
    outputs=[TesOutput(path="/out/b", url="", type="FILE")],
    resources=TesResources(cpu_cores=1, ram_gb=0.1),
    tags={"from": "pydantic-tes"},
)
made = client.create_task(task)
waiting = client.create_task(script("sleep 1000"))
first_state = client.get_task(waiting, "BASIC").state.value
client.cancel_task(waiting)
full = over(client, made)
try:
    client.create_task(script("true", outputs=[TesOutput(path="/o/x", url="s3://b/x", type="FILE")]))
    refused = ""
except Exception as error:
    refused = str(error)
print(
    json.dumps(
        {
            "service": plain(client.service_info()),
            "full": plain(full),
            "basic": plain(client.get_task(made, "BASIC")),
            "waiting": first_state,
            "cancelled": client.get_task(waiting, "FULL").state.value,
            "refused": refused,
            "listed": [task.id for task in client.list_tasks().tasks],
            "ids": [made.id, waiting.id],
        }
    )
)
