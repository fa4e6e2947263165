"""The judge of chaos: compares the hub's final state with the clients' answers and the attempts that really ran."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import asman
from asman_shared.messages import JobState
from asman_shared.states import State
from tests.chaos.load import Seen, ending_of
from tests.chaos.runs import Runs, attempt_of
from tests.chaos.stage import QUEUE, Stage

AT_ONCE = 50
SHOWN = 5


@dataclass
class Judgement:
    """The numbers of one play.

    Attributes:
        lost: Acknowledged jobs that are missing or not finished.
        failed: Acknowledged jobs that ended with anything but success.
        without_result: Finished jobs whose stored result or log is not the accepted attempt's.
        run_twice: Jobs whose command began more than once, which a lost worker causes.
        same_attempt_twice: Attempts that one worker began twice, which must not happen. (Two workers may begin the
            same number of a job when the hub dies before the first assignment, which runs ahead of the commit, is
            durable. Then no client was told that the hub has the job.)
        duplicates: Jobs of which more than one result was accepted, as told to any client at any time.
        backwards: Jobs of which a client was told an older state after a newer one.
        unanswered: Clients that were still waiting.
    """

    submitted: int = 0
    acknowledged: int = 0
    finished: int = 0
    lost: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    without_result: list[str] = field(default_factory=list)
    run_twice: int = 0
    starts: int = 0
    same_attempt_twice: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)
    unanswered: int = 0

    @property
    def broken(self) -> dict[str, str]:
        """Returns every broken promise, with some of the jobs."""
        lists = {
            "lost": self.lost,
            "not successful": self.failed,
            "result or log is not the accepted attempt's": self.without_result,
            "a worker began the same attempt twice": self.same_attempt_twice,
            "more than one result was accepted": self.duplicates,
            "went back to an older state": self.backwards,
        }
        found = {name: f"{len(jobs)}: {', '.join(jobs[:SHOWN])}" for name, jobs in lists.items() if jobs}
        if self.unanswered:
            found["clients that were never answered"] = str(self.unanswered)
        if not self.finished:
            found["nothing was finished"] = "0"
        return found


async def judge(stage: Stage, seen: Seen, unanswered: int) -> Judgement:
    """Asks the hub directly, over undisturbed connections."""
    made = Judgement(
        submitted=len(seen.submitted),
        acknowledged=len(seen.acknowledged),
        backwards=sorted(seen.backwards),
        unanswered=unanswered,
    )
    async with asman.connect(stage.hub.queue(QUEUE)) as queue:
        final = {state.id: state async for state in queue.jobs()}
        for state in final.values():
            seen.told(state)
        for job in sorted(seen.acknowledged):
            found = final.get(job)
            if found is None or found.state is not State.FINISHED:
                made.lost.append(f"{job[:12]} {found.state.value if found is not None else 'is gone'}")
                continue
            made.finished += 1
            if found.verdict is None or not found.verdict.ok:
                made.failed.append(f"{job[:12]} {found.verdict}")
        done = [state for state in final.values() if state.verdict is not None and state.verdict.ok]
        made.without_result = await _check_results(queue, done, stage.runs.look())
    made.duplicates = [f"{job[:12]} {sorted(ends)}" for job, ends in seen.endings.items() if len(ends) > 1]
    for job, begun in stage.runs.by_job.items():
        attempts = [each.attempt for each in begun]
        made.starts += len(attempts)
        made.run_twice += len(attempts) > 1
        if len({(each.attempt, each.place) for each in begun}) < len(begun):
            made.same_attempt_twice.append(f"{job[:12]} {attempts}")
    return made


async def _check_results(queue: asman.Queue, done: list[JobState], runs: Runs) -> list[str]:
    wrong: list[str] = []
    turns = asyncio.Semaphore(AT_ONCE)

    async def check(state: JobState) -> None:
        async with turns:
            why = await _what_is_wrong(queue, state, runs)
        if why:
            wrong.append(f"{state.id[:12]} {why}")

    async with asyncio.TaskGroup() as group:
        for state in done:
            group.create_task(check(state))
    return wrong


async def _what_is_wrong(queue: asman.Queue, state: JobState, runs: Runs) -> str:
    """Returns the defects of a finished job; empty if there are none."""
    job = await queue.get(state.id)
    if ending_of(job.state) != ending_of(state):
        return "has another state when asked again"
    if not any(each.attempt == state.attempt and each.ended for each in runs.by_job.get(state.id, ())):
        return f"attempt {state.attempt} did not run to its end"
    result = await job.result()
    if "who" not in result.outputs:
        return "has no output"
    who = await result.outputs["who"].read_text()
    if attempt_of(who) != state.attempt:
        return f"has the output of attempt {attempt_of(who)}, not {state.attempt}"
    lines = [line async for line in job.logs(follow=False)]
    if [line.seq for line in lines] != list(range(len(lines))) or any(line.missing for line in lines):
        return f"has a log with gaps: {[line.seq for line in lines]}"
    own = [line for line in lines if line.stream != "system"]
    texts = [line.text for line in own if attempt_of(line.text.split(" ", 1)[-1]) == state.attempt]
    if [text.split(" ")[0] for text in texts] != ["began", "ended"]:
        return f"has a log that says {texts}"
    return ""
