"""The choice of webhooks to call.

``queued`` is called for the submission that begins a run. ``finished`` is called once for every submission that asked
for it: when the run ends, at once when the answer is a cached result, and when the job is taken from the submission's
namespace while others keep holding it. Submitting again what already waits adds nothing, so a client that repeats a
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
    """Whether an unfinished job has no room for a submission's webhooks."""
    if job is None or not job.hooks or calls is None or calls.finished is None:
        return False
    room = limits.CALLBACKS_PER_JOB_BYTES - sum(hook.size for hook in job.hooks)
    return Hook("", calls.finished).size > room


def begun(job: Job, event: Submitted) -> Iterable[CallWebhook]:
    """Yields the calls for a submission that began a new run."""
    calls = event.calls
    if calls is None:
        return
    joined(job, event)
    if calls.queued is not None:
        yield CallWebhook("queued", job, event.namespace, calls.queued)


def joined(job: Job, event: Submitted) -> bool:
    """Adds a submission's webhook to the run; returns whether the job has changed."""
    if event.calls is None or event.calls.finished is None:
        return False
    hook = Hook(event.namespace, event.calls.finished)
    hooks = job.hooks or []
    if hook in hooks:
        return False
    job.hooks = [*hooks, hook]
    return True


def cached(job: Job, event: Submitted) -> Iterable[CallWebhook]:
    """Yields the calls for a submission that was answered with a cached result."""
    if event.calls is not None and event.calls.finished is not None and job.verdict is not None:
        yield CallWebhook("finished", job, event.namespace, event.calls.finished, job.verdict.reason)


def ended(job: Job) -> Iterable[CallWebhook]:
    """Yields the calls for the end of a run."""
    hooks, job.hooks = job.hooks, None
    if hooks and job.verdict is not None:
        for hook in hooks:
            yield CallWebhook("finished", job, hook.namespace, hook.call, job.verdict.reason)


def released(job: Job, namespaces: set[str], reason: Reason) -> Iterable[CallWebhook]:
    """Yields the calls for namespaces that released a job which continues for others."""
    if not job.hooks:
        return
    kept = [hook for hook in job.hooks if hook.namespace not in namespaces]
    gone = [hook for hook in job.hooks if hook.namespace in namespaces]
    job.hooks = kept or None
    for hook in gone:
        yield CallWebhook("finished", job, hook.namespace, hook.call, reason)
