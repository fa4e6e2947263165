"""Page: bytes by part, time until it can be used, a queue of thousands of jobs, and frames while a log streams in."""

from __future__ import annotations

import argparse
import asyncio
import gzip
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import Page

import asman
from bench.measure import Report
from devtools.asman_processes import AsmanProcesses, HubProcess, asman_processes
from devtools.browser import TestBrowser, launched_browser
from devtools.page import QUEUE, ROOT, job_address

PAGE = ROOT / "server/asman_server/page"
FIRST_LOAD = 60 * 1024
RATE = 10_000
SECONDS = 5
#: Writes so many lines a second, evenly, for some seconds, from a counter that nothing but time holds back.
STREAM = f"""import sys, time
start = time.monotonic()
said = 0
while said < {RATE * SECONDS}:
    due = min({RATE * SECONDS}, int((time.monotonic() - start) * {RATE}))
    sys.stdout.write("".join(f"line {{n}} of a stream that does not end soon\\n" for n in range(said, due)))
    sys.stdout.flush()
    said = due
    time.sleep(0.005)
"""
_FRAMES = """() => new Promise(done => {
    const gaps = []; let before = performance.now(); let last = 0; let calm = 0;
    const box = () => document.querySelector('[data-testid=log]');
    const frame = now => {
        gaps.push(now - before); before = now;
        const lines = Number(box()?.dataset.lines ?? 0);
        calm = lines === last && lines > 0 ? calm + 1 : 0; last = lines;
        if (calm > 60) done({ gaps: gaps.slice(1, -60), lines }); else requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
})"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--jobs", type=int, default=5000, help="jobs in the long queue")
    parser.add_argument("--runs", type=int, default=5, help="how often each page is opened")


def _bytes(report: Report) -> None:
    """What each part weighs as it travels, compressed."""
    sizes = {path.name: len(gzip.compress(path.read_bytes(), 6)) for path in (PAGE / "assets").iterdir()}
    for name, size in sorted(sizes.items(), key=lambda each: -each[1]):
        if size >= 1000:
            report.add(f"{name.rsplit('-', 1)[0]}{Path(name).suffix}, gzipped", "bytes", [size])


async def _usable(browser: TestBrowser, url: str, sign: str, runs: int) -> dict[str, list[float]]:
    """Opens a page in a fresh profile again and again, until ``sign`` is there; what it took and loaded."""
    found: dict[str, list[float]] = {"ms": [], "bytes": [], "nodes": [], "heap": []}
    for _ in range(runs):
        page = await browser.open("about:blank")
        session = await page.context.new_cdp_session(page)
        await session.send("Performance.enable")
        await page.goto(url)
        await page.wait_for_selector(sign)
        found["ms"].append(await page.evaluate("performance.now()"))
        loaded = "performance.getEntriesByType('resource').reduce((sum, each) => sum + each.encodedBodySize, 0)"
        found["bytes"].append(await page.evaluate(loaded))
        metrics = {each["name"]: each["value"] for each in (await session.send("Performance.getMetrics"))["metrics"]}
        found["nodes"].append(metrics["Nodes"])
        found["heap"].append(metrics["JSHeapUsedSize"] / 2**20)
        await page.context.close()
    return found


async def _opening(report: Report, browser: TestBrowser, hub: HubProcess, jobs: int, runs: int) -> None:
    address = job_address(hub.url, {"command": "echo"})
    job = await _usable(browser, address, "[data-testid=main-action]:enabled", runs)
    report.add("job page: navigation to its button, nothing cached", "ms", job["ms"])
    few = await _usable(browser, hub.queue("few"), "[data-testid=job-row]", runs)
    async with asman.connect(hub.queue(QUEUE)) as queue:
        for at in range(0, jobs, 500):
            await asyncio.gather(*(queue.submit(command=f"echo {n}") for n in range(at, min(jobs, at + 500))))
    many = await _usable(browser, hub.queue(QUEUE), "[data-testid=job-row]:nth-child(10)", runs)
    for name, found in (("10 jobs", few), (f"{jobs:,} jobs", many)):
        report.add(f"queue page of {name}: navigation to its rows, nothing cached", "ms", found["ms"])
        report.add(f"queue page of {name}: nodes of the document", "nodes", found["nodes"])
        report.add(f"queue page of {name}: heap of the page", "MiB", found["heap"])


async def _streaming(report: Report, page: Page, hub: HubProcess, runs: int) -> None:
    late: list[float] = []
    worst: list[float] = []
    shown: list[float] = []
    for run in range(runs):
        await page.goto("about:blank")
        await page.goto(
            job_address(
                hub.url,
                {"command": "python3 $JOB_INPUTS/s.py", "env": {"RUN": str(run)}},
                {"s.py": STREAM},
                queue="stream",
            )
        )
        await page.wait_for_selector("[data-testid=main-action]:enabled")
        await page.click("[data-testid=main-action]")
        await page.wait_for_selector("[data-testid=log][data-lines]")
        found: dict[str, Any] = await page.evaluate(_FRAMES)
        gaps = found["gaps"]
        late.append(100 * sum(max(0, round(gap / (1000 / 60)) - 1) for gap in gaps) / (sum(gaps) * 60 / 1000))
        worst.append(max(gaps))
        shown.append(found["lines"])
    report.add(f"log at {RATE:,} lines a second: frames dropped of 60 a second", "%", late)
    report.add(f"log at {RATE:,} lines a second: longest frame", "ms", worst)
    report.add("log: lines that came", "lines", shown)


async def _measure(report: Report, wanted: argparse.Namespace, processes: AsmanProcesses, folder: Path) -> None:
    hub = processes.hub()
    processes.worker(hub.queue("stream"), "--executor", "process", "--data-dir", str(folder / "stream"))
    async with asman.connect(hub.queue("few")) as queue:
        await asyncio.gather(*(queue.submit(command=f"echo {n}") for n in range(10)))
    async with launched_browser() as browser:
        await _opening(report, browser, hub, wanted.jobs, wanted.runs)
        page = await browser.open("about:blank", width=1280, height=900)
        page.set_default_timeout(60_000)
        await _streaming(report, page, hub, max(1, wanted.runs // 2))


def run(wanted: argparse.Namespace) -> Report:
    """Measures all of it."""
    report = Report("page")
    _bytes(report)
    with tempfile.TemporaryDirectory(prefix="asman-bench-") as folder, asman_processes(Path(folder)) as processes:
        asyncio.run(_measure(report, wanted, processes, Path(folder)))
    report.notes += [
        f"The first load of a page is at most {FIRST_LOAD:,} bytes gzipped, which a test holds.",
        "Chromium without a graphics card, the hub, its worker and the browser share the cores.",
        f"The stream is {RATE * SECONDS:,} lines of 45 letters from a job without a container, with wrapping on.",
    ]
    return report
