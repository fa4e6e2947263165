"""``asman job url``: a link that contains a whole job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as o
from ..named_job import split_input, with_job
from ..terminal import Terminal

if TYPE_CHECKING:
    from asman_shared.definition import Definition

    from ...job import Job


def url(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[QUEUE] JOB|-", help="The job, or '-' for a definition from standard input."),
    ],
    hub: o.HubOption = None,
    with_queue: Annotated[
        bool,
        typer.Option("--with-queue/--no-queue", help="Name the queue in the link; who has the link can use the queue."),
    ] = False,
    json: o.JsonOption = False,
) -> None:
    """Print a URL that contains the whole job; 'asman run URL' runs the job, and so does the page at the URL.

    It does not name the queue, so that it can be shared; --with-queue adds the queue, which is a secret.
    """
    terminal = Terminal(json=json)

    def write(definition: Definition, hub_url: str, name: str) -> None:
        from asman_shared.identity import job_id
        from asman_shared.job_url import write_job_url

        link = write_job_url(hub_url, definition, queue=name if with_queue else "")
        if json:
            terminal.value({"id": job_id(definition), "url": link})
        else:
            terminal.result(link)

    if words[-1] == "-":
        from ...definitions import read
        from ..given import read_definition

        queue, _ = split_input(words)
        address = o.find_queue(queue, hub)
        write(read(read_definition()[0]), address.hub, address.queue)
        return

    async def work(job: Job) -> int:
        write(job.definition, job.address.hub, job.address.queue)
        return 0

    with_job(words, hub, work)
