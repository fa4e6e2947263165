"""All commands by name, and where each lives; nothing here is imported but names, so that asking costs nothing.

A command's module is imported when that command is called. What it says here is its line in lists; its own page says
the rest.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Command(NamedTuple):
    """A command: a function of a module in `commands`, and what it does in a few words."""

    module: str
    function: str
    says: str


class Noun(NamedTuple):
    """Commands that have a word in common."""

    says: str
    commands: dict[str, Command]


ABOUT: Final = "Compute queues for everyone: a job is a URL, a queue is a URL, a worker is one command."

TREE: Final[dict[str, Command | Noun]] = {
    "up": Command("up", "up", "Start a hub and a worker here, and print the queue's URL."),
    "run": Command("run", "run", "Run a command as a job, and exit with its exit code."),
    "hub": Command("hub", "hub", "Run a hub, which clients and workers dial."),
    "worker": Command("worker", "worker", "Share this machine with a queue, or several."),
    "doctor": Command("doctor", "doctor", "Look whether this machine can work for a queue."),
    "schema": Command("schema", "schema", "Print the JSON Schema of what --json writes."),
    "job": Noun(
        "Submit, show, follow, cancel and delete jobs.",
        {
            "add": Command("job_add", "add", "Submit a job; with --wait, stay until it is finished."),
            "list": Command("job_list", "list_jobs", "List a queue's jobs, newest first."),
            "show": Command("job", "show", "Show where a job is, its definition, and how it ended."),
            "logs": Command("job_logs", "logs", "Show a job's log, or a part of it."),
            "summary": Command("job_summary", "summary", "Show how a job went: last lines, and the first error."),
            "explain": Command("job", "explain", "Say why a job is where it is."),
            "wait": Command("job", "wait", "Wait until a job is finished; exit as it did."),
            "result": Command("job", "result", "Show a job's result when it is finished; exit as it did."),
            "outputs": Command("job", "outputs", "List, save or print what a finished job made."),
            "cancel": Command("job", "cancel", "Release a job; it is stopped when nobody else holds it."),
            "delete": Command("job", "delete", "Stop a job if it runs, and forget it and its result."),
            "url": Command("job_url", "url", "Print the address of the page that holds a whole job."),
            "copy": Command("job_copy", "copy", "Submit a job to another queue, with its files."),
        },
    ),
    "queue": Noun(
        "Make and look at queues.",
        {
            "new": Command("queue", "new", "Make an unguessable name for a queue."),
            "list": Command("queue", "list_queues", "List the queues that you have used from here."),
            "status": Command("queue", "status", "Show how many jobs a queue has, and its workers."),
            "watch": Command("queue_watch", "watch", "Watch a queue's jobs and workers, until Ctrl-C."),
            "retention": Command("queue", "retention", "Show or set how long finished jobs are kept."),
        },
    ),
    "blob": Noun(
        "Store and fetch bytes by their sha256.",
        {
            "put": Command("blob", "put", "Store a file, and print its sha256."),
            "get": Command("blob", "get", "Fetch a blob into a file, or to standard output."),
        },
    ),
}
