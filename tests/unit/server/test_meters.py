"""What is counted, and what is shown of it."""

from __future__ import annotations

from typing import Any

from asman_server.core import Job
from asman_server.meters import Histogram, JobMeter
from asman_shared.messages import Summary, Verdict
from asman_shared.states import Reason


def test_a_histogram_counts_up_to_and_with_each_bound() -> None:
    histogram = Histogram((1.0, 5.0))
    for seconds in (0.5, 1.0, 2.0, 100.0):
        histogram.observe(seconds)
    assert histogram.buckets() == [("1.0", 2), ("5.0", 3), ("+Inf", 4)]
    assert histogram.total == 103.5


def ended(reason: Reason, **fields: Any) -> Job:
    return Job(id="j", number=1, summary=Summary(), verdict=Verdict(ok=False, reason=reason), **fields)


def test_a_queue_and_the_whole_hub_are_counted_together() -> None:
    whole = JobMeter()
    queues = [JobMeter(whole), JobMeter(whole)]
    for meter in queues:
        meter.assigned(Job(id="j", number=1, summary=Summary(), queued=1000, started=3500))
        meter.ended(ended(Reason.SUCCESS, queued=1000, started=3500, finished=4000))
    assert [dict(meter.finished) for meter in queues] == [{Reason.SUCCESS: 1}] * 2
    assert whole.finished == {Reason.SUCCESS: 2}
    assert (whole.wait.total, whole.run.total) == (5.0, 1.0)


def test_a_job_that_never_ran_has_no_run_and_one_that_lost_a_worker_waits_once() -> None:
    meter = JobMeter()
    meter.ended(ended(Reason.CANCELLED, queued=1000, finished=2000))
    assert (sum(meter.run.counts), meter.finished[Reason.CANCELLED]) == (0, 1)
    meter.assigned(Job(id="j", number=1, summary=Summary(), queued=0, started=9000, losses=1))
    assert sum(meter.wait.counts) == 0


def test_a_queue_is_hasty_while_most_of_its_latest_jobs_end_at_once() -> None:
    meter = JobMeter()
    for _ in range(20):
        meter.ended(ended(Reason.SUCCESS, started=1000, finished=1001))
    assert meter.haste > 0.9
    for _ in range(20):
        meter.ended(ended(Reason.SUCCESS, started=1000, finished=1002))
    assert meter.haste < 0.1
    for _ in range(20):
        meter.ended(ended(Reason.CANCELLED, queued=1000, finished=1000))  # never ran, so it says nothing
    assert meter.haste < 0.1
