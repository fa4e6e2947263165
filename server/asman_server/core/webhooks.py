"""The choice of webhooks to call.

``queued`` is called for the submission that begins a run. ``finished`` is called once for every submission that asked
for it: when the run ends, at once when the answer is a cached result, and when the job is taken from the submission's
namespace while others go on holding it. Submitting again what already waits adds nothing, so a client that repeats a
submit after a lost connection does not double its calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from asman_shared import limits
from asman_shared.states import Reason

from .callbacks import Calls, Hook
from .effects import CallWebhook
from .events import Submitted
from .job import Job

FULL: Final = "this job remembers as many webhooks as it can; submit it without callbacks.finished"


def full(job: Job | None, calls: Calls | None) -> bool:
    """Whether an unfinished job has no room for what a submission wants called at its end."""
    if job is None or not job.hooks or calls is None or calls.finished is None:
        return False
    room = limits.CALLBACKS_PER_JOB_BYTES - sum(hook.size for hook in job.hooks)
    return Hook("", calls.finished).size > room


def begun(job: Job, event: Submitted) -> Iterable[CallWebhook]:
    """A submission began a new run."""
    calls = event.calls
    if calls is None:
        return
    joined(job, event)
    if calls.queued is not None:
        yield CallWebhook("queued", job, event.namespace, calls.queued)


def joined(job: Job, event: Submitted) -> bool:
    """A submission waits for the run from now on; whether the job has changed by that."""
    if event.calls is None or event.calls.finished is None:
        return False
    hook = Hook(event.namespace, event.calls.finished)
    hooks = job.hooks or []
    if hook in hooks:
        return False
    job.hooks = [*hooks, hook]
    return True


def cached(job: Job, event: Submitted) -> Iterable[CallWebhook]:
    """A submission was answered with the result that exists."""
    if event.calls is not None and event.calls.finished is not None and job.verdict is not None:
        yield CallWebhook("finished", job, event.namespace, event.calls.finished, job.verdict.reason)


def ended(job: Job) -> Iterable[CallWebhook]:
    """The run is over: all who asked are told how it ended."""
    hooks, job.hooks = job.hooks, None
    if hooks and job.verdict is not None:
        for hook in hooks:
            yield CallWebhook("finished", job, hook.namespace, hook.call, job.verdict.reason)


def released(job: Job, namespaces: set[str], reason: Reason) -> Iterable[CallWebhook]:
    """Namespaces released a job that continues for others: for them it ends here."""
    if not job.hooks:
        return
    kept = [hook for hook in job.hooks if hook.namespace not in namespaces]
    gone = [hook for hook in job.hooks if hook.namespace in namespaces]
    job.hooks = kept or None
    for hook in gone:
        yield CallWebhook("finished", job, hook.namespace, hook.call, reason)
