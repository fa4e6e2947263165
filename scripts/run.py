"""Run `make run` after setting up: start a hub and a worker here, run one example job, and stay up.

usage: python -m scripts.run

Environment: ``ONCE=1`` ends after the job with everything stopped; ``PORT`` names the port (default: that of the last
run with the same data folder, else 8000, or the next free one); ``DATA`` names the data folder (default: .asman in the
clone; ONCE uses a temporary one).
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from devtools import base_image, docker_api
from devtools.engine import ROOT, NoEngineError, hold
from devtools.health import healthy

ASMAN = Path(sys.executable).with_name("asman")
EXAMPLE = ROOT / "examples" / "count-words"
PUBLIC_IMAGE = "alpine:3"
LOG = ROOT / ".run" / "logs" / "up.log"
PORT_FILE = "port"
"""Name of the file in the data folder that holds the port of the last run, so that its links work again."""
_QUEUE_URL = re.compile(r"https?://[^\s/]+/q/[\w.-]+")
_JOB = re.compile(r"\b([0-9a-f]{64})(?:~[0-9a-f]{32})?\b")
"""A job's id, and the key that follows it in the job's URL."""
_HEALTHY_SECONDS = 60.0
_REGISTRY_SECONDS = 8.0


class CannotRunError(Exception):
    """Raised when something that the example needs does not work; the message says what."""


@dataclass(frozen=True)
class Containers:
    """The way in which jobs run.

    Attributes:
        executor: The value of ``asman up --executor``.
        image: The image for jobs, or None when jobs are plain processes.
    """

    executor: str
    image: str | None


def say(text: str) -> None:
    """Print a message for the person at the terminal."""
    sys.stdout.write(f"==> {text}\n")
    sys.stdout.flush()


def find_containers(stack: ExitStack) -> Containers:
    """Get an engine and an image.

    Raises:
        NoEngineError: There is no engine, or no image for it; further lines of the message are the engine's log.
    """
    engine = stack.enter_context(hold())
    os.environ["DOCKER_HOST"] = engine.host
    say(f"Container engine: {engine.host}{' (private, started for this)' if engine.private else ''}")
    if docker_api.has_image(engine.host, PUBLIC_IMAGE):
        return Containers("docker", PUBLIC_IMAGE)
    try:
        docker_api.pull_image(engine.host, PUBLIC_IMAGE, _REGISTRY_SECONDS)
    except docker_api.EngineError:
        try:
            image = base_image.ensure(engine.host)
        except docker_api.EngineError as error:
            raise NoEngineError(f"no image registry is in reach, and {error}") from error
        say(f"No image registry is in reach: jobs run in {image}, made here from busybox-static")
        return Containers("docker", image)
    say(f"Jobs run in the public image {PUBLIC_IMAGE}")
    return Containers("docker", PUBLIC_IMAGE)


def choose_containers(stack: ExitStack) -> Containers:
    """Get an engine and an image, or fall back to plain processes with a message."""
    try:
        return find_containers(stack)
    except NoEngineError as error:
        why, _, log = str(error).partition("\n")
        say(f"Jobs run as plain processes, without a container (executor 'process'): {why}.")
        sys.stdout.write("".join(f"    {line}\n" for line in log.splitlines()))
        return Containers("process", None)


def choose_port(data: Path | None = None) -> int:
    """Return the port that ``PORT`` names, else that of the last run with this data folder, 8000 or the next free one.

    A port other than the expected one is said.

    Raises:
        CannotRunError: The named port is not free, or none is.
    """
    named = os.environ.get("PORT")
    if named:
        if not named.isdecimal() or not _is_free(int(named)):
            raise CannotRunError(f"PORT={named} is not a port that is free here")
        return int(named)
    kept = _last_port(data) if data is not None else None
    wanted = kept or 8000
    ports: list[int] = [wanted, *range(8000, 8100)]
    for port in ports:
        if _is_free(port):
            if port != wanted:
                links = f", and links to port {kept}, of the last run, don't work with it" if kept else ""
                say(f"Port {wanted} is in use: the hub gets port {port}{links} (PORT=n names another)")
            return port
    raise CannotRunError("no port from 8000 to 8099 is free; name another with PORT=n")


def _last_port(data: Path) -> int | None:
    """Return the port of the last run with a data folder; None if there was none."""
    try:
        text = (data / PORT_FILE).read_text(errors="replace").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() and len(text) <= 5 and int(text) else None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


@contextmanager
def asman_up(port: int, data: Path, containers: Containers) -> Iterator[subprocess.Popen[bytes]]:
    """Start a hub with a worker inside; it is stopped by its process id when the block ends."""
    command = [str(ASMAN), "up", "--port", str(port), "--data-dir", str(data), "--executor", containers.executor]
    if containers.image:
        # It may be one that was made here, and no registry has.
        command += ["--default-image", containers.image, "--local-images", containers.image]
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("wb") as log:
        up = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield up
    finally:
        up.terminate()
        try:
            up.wait(30)
        except subprocess.TimeoutExpired:
            up.kill()
            up.wait()


def wait_healthy(up: subprocess.Popen[bytes], port: int) -> str:
    """Wait until the hub answers and has named its queue; returns the queue's URL."""
    deadline = time.monotonic() + _HEALTHY_SECONDS
    while up.poll() is None and time.monotonic() < deadline:
        found = _QUEUE_URL.search(LOG.read_text(errors="replace"))
        if found and healthy(port):
            return found.group()
        time.sleep(0.05)
    last = "\n".join(LOG.read_text(errors="replace").splitlines()[-20:])
    state = "is not ready" if up.poll() is None else f"ended with exit code {up.returncode}"
    raise CannotRunError(f"asman up {state}; its last output:\n{last}")


def run_example(queue_url: str, containers: Containers, outputs: Path) -> None:
    """Run the example through the command line, like any user, and show the result."""
    arguments = ["job", "add", queue_url, "--wait", "-o", str(outputs)]
    for name in ("text.txt", "count.sh"):
        arguments += ["--file", str((EXAMPLE / name).relative_to(ROOT))]
    if containers.image:
        arguments += ["--image", containers.image]
    arguments += ["-c", 'sh -c "sh $JOB_INPUTS/count.sh"']
    say(f"Running: asman job add <queue> {' '.join(arguments[3:-1])} '{arguments[-1]}'")
    job = subprocess.Popen(  # noqa: S603
        [ASMAN, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    told = ""
    assert job.stdout is not None  # noqa: S101 - it is a pipe
    for line in job.stdout:
        told += line
        sys.stdout.write(f"    {line}")
        sys.stdout.flush()
    if job.wait() != 0:
        raise CannotRunError(f"the example job ended with exit code {job.returncode}")
    words = outputs / "words.txt"
    say("The job's output file words.txt:")
    sys.stdout.write("".join(f"    {line}\n" for line in words.read_text().splitlines()))
    found = _JOB.search(told)
    hub, _, queue = queue_url.rpartition("/q/")
    if found:
        say(f"Job:   {found.group(1)}")
        say(f"URL:   {hub}/j/{found.group()}")
    say(f"Queue: {queue_url}")
    say(f"Page:  {hub}/#?queue={queue}")


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C must not leave some of the processes running
    raise KeyboardInterrupt


def main() -> int:
    """Run the example, then stay up until Ctrl-C."""
    once = os.environ.get("ONCE", "") not in ("", "0")
    for each in _SIGNALS:
        signal.signal(each, _end)
    try:
        with ExitStack() as stack:
            temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asman-run-")))
            containers = choose_containers(stack)
            data = temporary / "data" if once else Path(os.environ.get("DATA") or ROOT / ".asman")
            port = choose_port(data)
            say(f"Starting a hub and a worker: asman up --port {port} (its log: {os.path.relpath(LOG)})")
            up = stack.enter_context(asman_up(port, data, containers))
            queue_url = wait_healthy(up, port)
            (data / PORT_FILE).write_text(f"{port}\n")
            run_example(queue_url, containers, temporary / "out")
            if not once:
                say(f"Try:   ASMAN_QUEUE={queue_url} {os.path.relpath(ASMAN)} run -- echo hello")
                if containers.executor == "docker":
                    say(f"Check: DOCKER_HOST={os.environ['DOCKER_HOST']} {os.path.relpath(ASMAN)} doctor {queue_url}")
                say("Staying up; Ctrl-C ends it.")
                up.wait()
                raise CannotRunError(f"asman up ended with exit code {up.returncode}; see {LOG}")
    except KeyboardInterrupt:
        say("Stopped.")
        return 0 if not once else 130
    except CannotRunError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if once:
        say("Done; everything that was started is stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
