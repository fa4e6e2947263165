"""A loop for the life of a hub or worker is started by its supervisor, which notices its end."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[3]
BARE = {"create_task", "ensure_future"}
GROUPS = {"tasks", "group"}
"""Names of task groups, which end with their first task that fails."""
AWAITED = {
    ("worker/asman_worker/main.py", "run"): "the parts of a worker; it waits for the first that ends",
    ("worker/asman_worker/queue_worker.py", "run"): "the connection; the worker waits for its end",
    ("worker/asman_worker/builds/builder.py", "watch"): "beside one build, which waits for the first of both",
    ("worker/asman_worker/execution/process_executor.py", "watch"): "beside one job, which waits for the first",
    ("worker/asman_worker/execution/container_end.py", "watch"): "beside one container, which waits for the first",
}
"""Loops that are started otherwise, and who notices their end."""


def modules() -> dict[str, ast.Module]:
    files = [*(ROOT / "server").rglob("*.py"), *(ROOT / "worker").rglob("*.py")]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in files}


def loops(found: Mapping[str, ast.Module]) -> set[str]:
    """Names of async functions with a loop that nothing leaves but an error."""
    return {
        function.name
        for module in found.values()
        for function in ast.walk(module)
        if isinstance(function, ast.AsyncFunctionDef)
        for loop in ast.walk(function)
        if isinstance(loop, ast.While) and isinstance(loop.test, ast.Constant) and lasting(loop)
    }


def lasting(loop: ast.While) -> bool:
    """Whether a loop sleeps or waits between its rounds, and does not end by ``break``."""
    inside = list(ast.walk(loop))
    return any(isinstance(each, ast.Await) for each in inside) and not any(isinstance(e, ast.Break) for e in inside)


def bare(found: Mapping[str, ast.Module]) -> Iterator[tuple[str, str]]:
    """Yields the module and the name of each lasting loop that is started as a bare task."""
    endless = loops(found)
    for place, module in found.items():
        for call in ast.walk(module):
            if not isinstance(call, ast.Call) or name_of(call.func) not in BARE:
                continue
            if isinstance(call.func, ast.Attribute) and name_of(call.func.value) in GROUPS:
                continue
            for started in call.args[:1]:
                if isinstance(started, ast.Call) and name_of(started.func) in endless:
                    yield place, name_of(started.func)


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


FINITE = {
    ("server/asman_server/queues/recall.py", "_learn"): "reads pages until the last",
    ("worker/asman_worker/builds/git.py", "_read"): "reads what a process says until its end",
    ("worker/asman_worker/containers/run.py", "_ended"): "waits for one container",
}
"""Loops that end by themselves, with the work that they are for."""


def test_no_loop_for_the_life_of_a_hub_or_worker_is_a_bare_task() -> None:
    found = set(bare(modules()))
    assert found - AWAITED.keys() - FINITE.keys() == set()
    assert (AWAITED.keys() | FINITE.keys()) - found == set(), "these are no longer needed"


def test_a_bare_task_with_a_loop_is_found() -> None:
    text = """
async def look(self):
    while True:
        await sleep(10)

async def other():
    asyncio.get_running_loop().create_task(self.look())
    asyncio.create_task(short())
    tasks.create_task(self.look())
"""
    assert list(bare({"m.py": ast.parse(text)})) == [("m.py", "look")]
