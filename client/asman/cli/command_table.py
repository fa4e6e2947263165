"""The table of all commands, with the module and function of each.

Reading the table imports no command: a command's module is imported when the command is called. The text here is the
command's line in lists; the docstring of its function has the rest.
"""

from __future__ import annotations

from typing import Final


class Command:
    """A command: a function of a module in `commands`, and its description in a few words."""

    __slots__ = ("function", "module", "says")

    def __init__(self, module: str, function: str, says: str) -> None:
        self.module = module
        self.function = function
        self.says = says


class Noun:
    """A group of commands with a common first word."""

    __slots__ = ("commands", "says")

    def __init__(self, says: str, commands: dict[str, Command]) -> None:
        self.says = says
        self.commands = commands


ABOUT: Final = "Compute queues for everyone: a job is a URL, a queue is a URL, a worker is one command."

TREE: Final[dict[str, Command | Noun]] = {
    "up": Command("up", "up", "Start a hub and a worker here, and print the queue's URL."),
    "run": Command("run", "run", "Run a command as a job, and exit with its exit code."),
    "hub": Command("hub", "hub", "Run a hub that clients and workers connect to."),
    "worker": Command("worker", "worker", "Share this machine with one or more queues."),
    "doctor": Command("doctor", "doctor", "Check whether this machine can run jobs."),
    "backup": Command("backup", "backup", "Back up a hub while it runs."),
    "restore": Command("restore", "restore", "Restore a backup into a data folder."),
    "check": Command("check", "check", "Check the store of a hub: rows, and blobs by their sha256."),
    "move": Command("move", "move", "Move a hub's store to another database or place of blobs."),
    "schema": Command("schema", "schema", "Print the JSON Schema of --json output."),
    "job": Noun(
        "Submit, show, follow, retry, cancel and delete jobs.",
        {
            "add": Command("job_add", "add", "Submit a job; with --wait, wait until it is finished."),
            "list": Command("job_list", "list_jobs", "List a queue's jobs, newest first."),
            "show": Command("job", "show", "Show a job's state, its definition, and how it ended."),
            "logs": Command("job_logs", "logs", "Show a job's log, or a part of it."),
            "summary": Command("job_summary", "summary", "Show how a job went: last lines, and the first error."),
            "explain": Command("job", "explain", "Explain why a job is in its present state."),
            "wait": Command("job", "wait", "Wait until a job is finished; exit with its exit code."),
            "result": Command("job", "result", "Wait for a job's result and show it; exit with its exit code."),
            "outputs": Command("job", "outputs", "List, save or print the outputs of a finished job."),
            "cancel": Command("job_end", "cancel", "Cancel jobs; one keeps running if somebody else submitted it too."),
            "delete": Command("job_end", "delete", "Stop jobs that are running, and delete them and their results."),
            "keep": Command("job_keep", "keep", "Keep jobs and their results beyond their retention."),
            "retry": Command("job_retry", "retry", "Run jobs again that did not succeed."),
            "url": Command("job_url", "url", "Print a URL that contains the whole job."),
            "copy": Command("job_copy", "copy", "Copy a job with its files to another queue."),
        },
    ),
    "queue": Noun(
        "Create and inspect queues.",
        {
            "new": Command("queue", "new", "Create an unguessable name for a queue."),
            "add": Command("queue", "add", "Give a queue's URL a short name of your own."),
            "list": Command("queue", "list_queues", "List the queues that you have used on this machine."),
            "status": Command("queue", "status", "Show a queue's job counts and its workers."),
            "keys": Command("queue", "keys", "Print URLs that grant less than the queue's own."),
            "watch": Command("queue_watch", "watch", "Show a queue live, until Ctrl-C."),
            "retention": Command("queue", "retention", "Show or set how long finished jobs are kept."),
            "pause": Command("queue_owner", "pause", "Give no jobs to workers until it is resumed."),
            "resume": Command("queue_owner", "resume", "Give jobs to workers again."),
            "purge": Command("queue_owner", "purge", "Remove finished or waiting jobs, with their results."),
            "delete": Command("queue_owner", "delete", "Delete a queue with everything in it."),
            "drain": Command("queue_owner", "drain", "Drain a worker: no new jobs, and it ends when it has none."),
        },
    ),
    "blob": Noun(
        "Store and fetch bytes by their sha256.",
        {
            "put": Command("blob", "put", "Store a file, and print its sha256."),
            "get": Command("blob", "get", "Fetch a blob to a file or to standard output."),
        },
    ),
}
