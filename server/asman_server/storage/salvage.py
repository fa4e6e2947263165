"""Commits that the database refuses: finds the parts at fault, and writes all the others.

A database that is away takes the same commit later. A database that refuses a value (a text with a NUL, a number beyond
64 bits, a row that is too large) refuses it for ever, and everything that shares a commit with it. So such a commit is
divided in halves until the parts at fault stand alone. A part holds all rows that must be written together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from enum import Enum
from typing import Final, NamedTuple

from msgspec.structs import replace

from .commit import Commit, Key, Unwritable
from .row_kinds import ALIASES, DEFINITION_BLOBS, DEFINITIONS, LOG_CHUNKS, RowKey, RowKind

NOBODY: Final[Key] = ("", "")


class About(Enum):
    """The thing that a part of a commit is about, in the order in which parts are written."""

    REMOVAL = "removal"
    DEFINITION = "definition"
    JOB = "job"
    QUEUE = "queue"
    BLOBS = "blobs"
    WEBHOOKS = "webhooks"
    LOG = "log"


class Part(NamedTuple):
    """A part of a commit that is written as a whole.

    Attributes:
        about: What it is about.
        key: Queue and job id; the queue is empty for a definition, and both may be empty for other things.
        commit: Its contents.
    """

    about: About
    key: Key
    commit: Commit


class Refused(NamedTuple):
    """A part that the database has refused, and the reason."""

    part: Part
    reason: str


def parts_of(commit: Commit, callers: Mapping[str, Key], parting: Set[str] = frozenset()) -> list[Part]:
    """Divides a commit into its smallest parts, removals first and logs last.

    The removal of a job is a part of its own: it precedes a new job of this id, and hangs on none of its rows. The
    webhooks that tell of the removal belong to it: after it, nothing else would remember them.

    Args:
        commit: The commit.
        callers: The job of each webhook, by the webhook's id.
        parting: Those of the webhooks that tell of a removal, by their ids.
    """
    found: dict[tuple[About, Key], Part] = {}

    def part(about: About, key: Key) -> Commit:
        known = found.get((about, key))
        if known is None:
            known = found[about, key] = Part(about, key, Commit({}))
        return known.commit

    for kind, rows in commit.puts.items():
        for row_key, value in rows.items():
            about, key = _owner(kind, row_key, value)
            part(about, key).puts.setdefault(kind, {})[row_key] = value
    for key in commit.forget:
        part(About.REMOVAL, key).forget.append(key)
    for queue in commit.erase:
        part(About.REMOVAL, (queue, "")).erase.append(queue)
    for queue, job, first in commit.trim:
        part(About.JOB, (queue, job)).trim.append((queue, job, first))
    for queue, job, first in commit.drop_chunks:
        part(About.LOG, (queue, job)).drop_chunks.append((queue, job, first))
    for queue in commit.forget_queues:
        part(About.QUEUE, (queue, "")).forget_queues.append(queue)
    for row in commit.queues:
        part(About.QUEUE, (row.queue, "")).queues.append(row)
    for key_row in commit.keys:
        part(About.QUEUE, (key_row.queue, "")).keys.append(key_row)
    for queue, before in commit.forget_keys:
        part(About.QUEUE, (queue, "")).forget_keys.append((queue, before))
    if commit.blobs:
        part(About.BLOBS, NOBODY).blobs.extend(commit.blobs)
    for webhook in commit.webhooks:
        about = About.REMOVAL if webhook.id in parting else About.JOB
        part(about, callers[webhook.id]).webhooks.append(webhook)
    if commit.webhooks_later or commit.webhooks_done:
        rest = part(About.WEBHOOKS, NOBODY)
        rest.webhooks_later.extend(commit.webhooks_later)
        rest.webhooks_done.extend(commit.webhooks_done)
    order = list(About)
    return sorted(found.values(), key=lambda each: order.index(each.about))


def _owner(kind: RowKind, key: RowKey, row: object) -> tuple[About, Key]:
    if kind is DEFINITIONS or kind is DEFINITION_BLOBS:
        return About.DEFINITION, ("", key[0])
    if kind is ALIASES and isinstance(row, tuple):
        return About.DEFINITION, ("", row[1])
    return About.LOG if kind is LOG_CHUNKS else About.JOB, (key[0], key[1])


def joined(parts: Sequence[Part]) -> Commit:
    """Returns one commit with the contents of several parts."""
    whole = Commit({})
    for _, _, commit in parts:
        for kind, rows in commit.puts.items():
            whole.puts.setdefault(kind, {}).update(rows)
        for name in Commit.__struct_fields__:
            if name != "puts":
                getattr(whole, name).extend(getattr(commit, name))
    return whole


async def salvage(
    write: Callable[[Commit], Awaitable[None]],
    commit: Commit,
    callers: Mapping[str, Key],
    parting: Set[str] = frozenset(),
) -> list[Refused]:
    """Writes all of a commit but the parts that the database refuses.

    The parts are written in several transactions, each job with all of its rows in one. A job whose definition is
    refused counts as refused. Lines are written after their job, whose rows remove those of an earlier run; without
    the job that they belong to, they would be taken for lines of its next attempt. So lines of a refused job count as
    refused.

    Args:
        write: Writes one commit; see `asman_server.storage.commit.CommitWriter`.
        commit: The commit that was refused.
        callers: The job of each webhook, by the webhook's id.
        parting: The webhooks that tell of a removal, by their ids.

    Returns:
        The refused parts.

    Raises:
        Unavailable: The database can't be written now. Any part may have been written.
    """
    parts = parts_of(commit, callers, parting)
    refused: list[Refused] = []
    await _write(write, [part for part in parts if part.about is About.REMOVAL], refused)
    await _write(write, [part for part in parts if part.about is About.DEFINITION], refused)
    undefined = {each.part.key[1]: each.reason for each in refused if each.part.about is About.DEFINITION}
    rest = []
    for part in parts:
        if part.about is About.JOB and part.key[1] in undefined:
            refused.append(Refused(part, undefined[part.key[1]]))
        elif part.about not in (About.REMOVAL, About.DEFINITION, About.LOG):
            rest.append(part)
    await _write(write, rest, refused)
    jobless = {each.part.key: each.reason for each in refused if each.part.about is About.JOB}
    lines = []
    for part in parts:
        if part.about is About.LOG:
            if part.key in jobless:
                refused.append(Refused(part, jobless[part.key]))
            else:
                lines.append(part)
    await _write(write, lines, refused)
    return refused


async def _write(write: Callable[[Commit], Awaitable[None]], parts: Sequence[Part], refused: list[Refused]) -> None:
    """Writes parts in as few transactions as it takes, and adds the refused ones to a list."""
    waiting = [parts] if parts else []
    while waiting:
        some = waiting.pop()
        try:
            await write(joined(some))
        except Unwritable as error:
            if len(some) > 1:
                half = len(some) // 2
                waiting += [some[half:], some[:half]]
                continue
            if (quiet := _without_webhooks(some[0])) is not None and await _written(write, quiet):
                calls = Part(About.WEBHOOKS, some[0].key, Commit({}, webhooks=some[0].commit.webhooks))
                refused.append(Refused(calls, error.message))
            elif some[0].about is About.REMOVAL and some[0].commit.webhooks:
                await _apart(write, some[0], refused, error.message)
            else:
                refused.append(Refused(some[0], error.message))


async def _apart(write: Callable[[Commit], Awaitable[None]], part: Part, refused: list[Refused], reason: str) -> None:
    """Writes the webhooks of a removal that is refused: the run has ended all the same."""
    calls = Part(About.WEBHOOKS, part.key, Commit({}, webhooks=part.commit.webhooks))
    refused.append(Refused(part._replace(commit=replace(part.commit, webhooks=[])), reason))
    if not await _written(write, calls):
        refused.append(Refused(calls, reason))


def _without_webhooks(part: Part) -> Part | None:
    """Returns a part without its webhooks; None if it has none, or nothing else."""
    without = replace(part.commit, webhooks=[])
    return part._replace(commit=without) if part.commit.webhooks and (without.puts or not without.only_puts) else None


async def _written(write: Callable[[Commit], Awaitable[None]], part: Part) -> bool:
    try:
        await write(part.commit)
    except Unwritable:
        return False
    return True
