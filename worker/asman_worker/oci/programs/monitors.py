"""The program that becomes the monitors of containers, each in a child process.

It reads folders from its standard input, a line each. It has Python ready, because starting that takes longer than
starting a container. It ends with its input, and its children go on.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import sys
import traceback

from .monitor import END_SIGNAL, IGNORED, SAID, Asked, Monitor, start_time, write
from .namespaces import Failed
from .sandbox import SandboxMonitor


def main(news: int) -> None:
    """Runs the plan in the present folder, until its end is written down.

    Args:
        news: The pipe that wakes whoever follows.
    """
    os.umask(0o022)
    with open("plan.json", encoding="utf-8") as planned:
        plan = json.load(planned)
    monitor = (SandboxMonitor if plan["light"] else Monitor)(plan, news)
    signal.signal(END_SIGNAL, monitor.ask_for_end)
    write("monitor", {"pid": os.getpid(), "start": start_time(os.getpid())})
    held = -1
    try:
        try:
            # While this process lives, no worker removes the image.
            held = os.open(plan["hold"], os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            why = "it is being removed" if error.errno == errno.EWOULDBLOCK else error.strerror
            raise Failed(f"the image is not there any more: {why}") from error
        end = monitor.run()
    except Failed as error:
        end = {"failed": str(error)[:SAID]}
    except Asked:
        end = {"asked": True}
    except OSError as error:
        end = {"failed": f"the container's monitor failed: {error}"[:SAID]}
    if "code" not in end:
        monitor.clear()
    write("exit.json", end)
    monitor.tell()
    if "code" in end:
        monitor.clear()


def become(folder: str, news: int) -> None:
    """Makes this child process the monitor of a folder; its own failures go to ``monitor.err``."""
    os.setsid()
    os.chdir(folder)
    nothing = os.open("/dev/null", os.O_RDWR)
    failures = os.open("monitor.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for file, number in ((nothing, 0), (nothing, 1), (failures, 2)):
        os.dup2(file, number)
    os.close(nothing)
    os.close(failures)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    main(news)


def serve() -> None:
    """Becomes the monitor of each folder that standard input names, in a child process, until the input ends."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    for line in sys.stdin:
        folder = line.rstrip("\n")
        try:
            # Opened here, so that the pipe is closed by the child's end, however early that is.
            news = os.open(f"{folder}/news", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue  # the folder was removed meanwhile
        if os.fork() == 0:
            code = 1
            try:
                become(folder, news)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(news)


def program(words: list[str]) -> None:
    """Runs this module as a program."""
    del words
    serve()
