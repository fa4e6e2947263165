"""Exports the hub's state to Prometheus: read on each request, counted elsewhere (`meters`).

Queues appear by their short names alone, because a queue's name grants all access. ``/metrics`` shows the whole hub and
the busiest of the queues in memory, without the tags that their jobs ask for, and answers only programs on the hub's
machine, or who has the token of the settings. ``/q/{queue}/metrics`` shows one queue, with its histograms.
"""

from __future__ import annotations

import heapq
import hmac
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from asman_shared.definition import IMAGE, Shape
from asman_shared.errors import Forbidden
from asman_shared.messages import Counts
from asman_shared.states import Reason
from asman_shared.units import format_size

from ..access import Right
from ..core.worker import Presence, Worker
from ..hub import Hub
from ..meters import Histogram, JobMeter
from ..queues.shell import QueueShell
from .base import hub_of
from .own_machine import is_own_program
from .requests import granted

QUEUES_SHOWN: Final = 500
"""Number of queues that ``/metrics`` shows one by one: those with the most jobs and workers."""
SHAPES_SHOWN: Final = 20
"""Number of requirement shapes shown of one queue: those with the most waiting jobs."""


async def hub_metrics(request: Request) -> Response:
    """Returns the metrics of the whole hub, for Prometheus: to this machine, or to who sends the token."""
    _check_reader(request)
    hub = hub_of(request)
    return _answer(HubCollector(hub, ready=not await hub.unready()), ProcessCollector(registry=None))


def _check_reader(request: Request) -> None:
    """Checks that a request may read the metrics of the whole hub.

    Raises:
        Forbidden: It has no right to.
    """
    token = hub_of(request).config.metrics_token.get_secret_value()
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if token:
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
            raise Forbidden("the metrics of this hub need its token: send 'Authorization: Bearer …'")
        return
    if not is_own_program(request):
        raise Forbidden(
            "the metrics of the whole hub are only for programs on its own machine, unless its operator sets "
            "ASMAN_METRICS_TOKEN; those of one queue are at /q/{queue}/metrics"
        )


async def queue_metrics(request: Request) -> Response:
    """Returns the metrics of one queue, for Prometheus."""
    name = granted(request, Right.READ)
    hub = hub_of(request)
    shell = hub.registry.queues.get(name)
    counts = shell.counts() if shell is not None else await hub.store.counts(name)
    return _answer(QueueCollector(hub.short_names(name), counts, shell))


def _answer(*collectors: Collector) -> Response:
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class HubCollector(Collector):
    """Collector of the metrics of the whole hub.

    Args:
        hub: An open hub.
        ready: Whether it can take work.
    """

    def __init__(self, hub: Hub, *, ready: bool) -> None:
        self._hub = hub
        self._ready = ready

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics with their present values."""
        hub = self._hub
        shells = list(hub.registry.queues.values())
        counts = [shell.counts() for shell in shells]
        yield _gauge("asman_ready", "1 while the hub can take work, as /readyz tells.", int(self._ready))
        yield _gauge("asman_queues", "Queues in memory.", len(shells))
        yield _gauge("asman_jobs_queued", "Waiting jobs of the queues in memory.", sum(c.queued for c in counts))
        yield _gauge("asman_jobs_running", "Running jobs.", sum(c.running for c in counts))
        yield from _jobs("asman_job", "since the hub started", hub.registry.meter)
        links = sum(len(shell.links) for shell in shells)
        every = sum(shell.connections for shell in shells)
        yield _labelled(
            "asman_connections",
            "Connections of workers, and of clients (websockets, waits and event streams).",
            ("kind",),
            [(("worker",), links), (("client",), every - links)],
        )
        flusher = hub.services.flusher
        yield _counter(
            "asman_outbox_dropped", "States replaced by newer ones before a reader took them.", flusher.dropped
        )
        yield _counter("asman_outbox_overflows", "Connections closed because they read too slowly.", flusher.overflows)
        yield _histogram("asman_commit_seconds", "How long one transaction takes.", hub.committer.seconds)
        yield _counter("asman_commit_jobs", "Job rows written.", hub.committer.job_rows)
        yield _counter("asman_commit_failures", "Transactions that failed.", hub.committer.failures)
        refused = "Jobs and other parts of transactions that the database refused for good."
        yield _counter("asman_commit_refused", refused, hub.committer.refused)
        yield _gauge(
            "asman_database_failing", "1 while the database can't be written.", int(bool(hub.committer.failing))
        )
        if hub.certificate is not None:
            ends = "End of the hub's certificate, in seconds since 1970."
            yield _gauge("asman_certificate_expiry_timestamp_seconds", ends, hub.certificate.expires)
            failing = "1 while the files of the certificate can't be used and an earlier one is."
            yield _gauge("asman_certificate_failing", failing, int(bool(hub.certificate.failing)))
        yield _labelled(
            "asman_limited",
            "Refusals by limits, by what was refused and the party whose limit it was.",
            ("what", "of"),
            [(key, count) for key, count in sorted(hub.limiter.refused.items())],
            CounterMetricFamily,
        )
        yield _gauge("asman_limited_parties", "Addresses, keys and queues whose use is counted.", hub.limiter.tracked)
        quota = hub.blobs.quota
        if quota.limit is not None:
            yield _gauge("asman_blob_quota_bytes", "Largest size of all blobs, in bytes.", quota.limit)
        yield _gauge("asman_blobs", "Blobs stored.", quota.blobs)
        yield _gauge("asman_blob_bytes", "Bytes of blobs stored.", quota.bytes)
        yield _gauge("asman_uploads", "Uploads in progress that are recorded.", len(quota.uploads))
        yield _gauge("asman_upload_bytes", "Size of those uploads once they are complete, in bytes.", quota.promised)
        yield _counter("asman_blobs_collected", "Unused blobs removed.", quota.collected)
        yield _counter("asman_blob_bytes_collected", "Bytes of unused blobs removed.", quota.collected_bytes)
        busiest = heapq.nlargest(QUEUES_SHOWN, zip(shells, counts, strict=True), key=_business)
        yield from _queues([(shell.short, count, shell) for shell, count in busiest], tags=False)


def _business(queue: tuple[QueueShell, Counts]) -> int:
    counts = queue[1]
    return counts.queued + counts.running + counts.workers


class QueueCollector(Collector):
    """Collector of the metrics of one queue.

    Args:
        short: The queue's short name.
        counts: The queue's totals.
        shell: The queue, when it is in memory.
    """

    def __init__(self, short: str, counts: Counts, shell: QueueShell | None) -> None:
        self._short = short
        self._counts = counts
        self._shell = shell

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics with their present values."""
        meter = self._shell.meter if self._shell is not None else JobMeter()
        # Existing autoscalers look for exactly this name, without labels.
        waiting = self._counts.queued + self._counts.running
        yield _gauge("queue_length", "Waiting and running jobs.", waiting)
        yield from _queues([(self._short, self._counts, self._shell)], tags=True)
        yield _histogram(
            "asman_queue_job_wait_seconds", _WAIT + " since the queue was loaded.", meter.wait, queue=self._short
        )
        yield _histogram(
            "asman_queue_job_run_seconds", _RUN + " since the queue was loaded.", meter.run, queue=self._short
        )


_WAIT: Final = "From queued to assigned,"
_RUN: Final = "From assigned to finished,"


def _jobs(name: str, since: str, meter: JobMeter) -> Iterator[Metric]:
    yield _labelled(
        f"{name}s_finished",
        f"Finished runs, by reason, {since}.",
        ("reason",),
        [((reason.value,), meter.finished[reason]) for reason in Reason],
        CounterMetricFamily,
    )
    yield _histogram(f"{name}_wait_seconds", f"{_WAIT} {since}.", meter.wait)
    yield _histogram(f"{name}_run_seconds", f"{_RUN} {since}.", meter.run)


def _queues(queues: list[tuple[str, Counts, QueueShell | None]], *, tags: bool) -> Iterator[Metric]:
    """Yields the metric families with a label ``queue``, each with one or more samples for every queue.

    Args:
        queues: Short name, totals and, if it is in memory, the queue itself.
        tags: Whether shapes are shown with their tags.
    """
    for what in ("queued", "running", "finished"):
        yield _labelled(
            f"asman_queue_jobs_{what}",
            f"Jobs that are {what}" + (" and kept." if what == "finished" else "."),
            ("queue",),
            [((short,), getattr(counts, what)) for short, counts, _ in queues],
        )
    live = [(short, shell) for short, _, shell in queues if shell is not None]
    yield _labelled(
        "asman_queue_runs_finished",
        "Finished runs, by reason, since the queue was loaded.",
        ("queue", "reason"),
        [((short, reason.value), count) for short, shell in live for reason, count in shell.meter.finished.items()],
        CounterMetricFamily,
    )
    yield _labelled(
        "asman_queue_connections",
        "Connections of workers and clients.",
        ("queue",),
        [((short,), shell.connections) for short, shell in live],
    )
    presences = [(short, Counter(worker.presence for worker in shell.core.workers.values())) for short, shell in live]
    yield _labelled(
        "asman_queue_workers",
        "Workers by state.",
        ("queue", "state"),
        [
            ((short, presence.value), found[presence])
            for short, found in presences
            for presence in (Presence.READY, Presence.DRAINING, Presence.AWAY)
        ],
    )
    yield from _capacity(live, tags=tags)


def _capacity(live: list[tuple[str, QueueShell]], *, tags: bool) -> Iterator[Metric]:
    """Yields the free capacity, as resources and as the number of further jobs of each waiting shape."""
    ready = [
        (short, shell, [w for w in shell.core.workers.values() if w.presence is Presence.READY])
        for short, shell in live
    ]
    yield _labelled(
        "asman_queue_free_cpus",
        "Free CPUs of the workers.",
        ("queue",),
        [((short,), sum(max(0, w.free_cpus) for w in workers) / 1000) for short, _, workers in ready],
    )
    yield _labelled(
        "asman_queue_free_memory_bytes",
        "Free memory of the workers, in bytes.",
        ("queue",),
        [((short,), sum(max(0, w.free_memory) for w in workers)) for short, _, workers in ready],
    )
    yield _labelled(
        "asman_queue_free_gpus",
        "Free GPUs of the workers.",
        ("queue",),
        [((short,), sum(max(0, w.free_gpus) for w in workers)) for short, _, workers in ready],
    )
    waiting: Counter[tuple[str, ...]] = Counter()
    room: Counter[tuple[str, ...]] = Counter()
    for short, shell, workers in ready:
        lines = heapq.nlargest(SHAPES_SHOWN, shell.core.ready.lines.values(), key=lambda line: line.waiting)
        for line in lines:
            labels = (short, shape_label(line.shape, tags=tags))
            waiting[labels] += line.waiting
            room[labels] += room_for(line.shape, workers)
    yield _labelled(
        "asman_queue_shape_queued", "Waiting jobs with these requirements.", ("queue", "shape"), waiting.items()
    )
    yield _labelled(
        "asman_queue_shape_room",
        "Further jobs with these requirements that would fit now.",
        ("queue", "shape"),
        room.items(),
    )


def shape_label(shape: Shape, *, tags: bool) -> str:
    """Returns a requirement shape as a label, without unneeded parts: ``cpus=2 gpus=1 memory=4 GiB tags=a,b``.

    Args:
        shape: The requirements.
        tags: Whether its tags, which are words of a queue's users, are shown. Without them, several may look alike.
    """
    parts = [f"cpus={shape.cpus / 1000:g}"]
    parts += [f"gpus={shape.gpus}"] if shape.gpus else []
    parts += [f"memory={format_size(shape.memory)}"] if shape.memory else []
    parts += [f"tags={','.join(sorted(shape.tags))}"] if tags and shape.tags else []
    parts += [f"platform={shape.platform}"] if shape.platform else []
    parts += [f"source={shape.source}"] if shape.source != IMAGE else []
    return " ".join(parts)


def room_for(shape: Shape, workers: Iterable[Worker]) -> int:
    """Returns the number of further jobs of a shape that fit on the workers now."""
    room = 0
    for worker in workers:
        if worker.fits(shape):
            needs = [(worker.free_cpus, shape.cpus), (worker.free_gpus, shape.gpus)]
            needs += [] if worker.chooses else [(worker.free_memory, shape.memory)]
            room += min((free // need for free, need in needs if need), default=1)
    return room


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _labelled(
    name: str,
    text: str,
    labels: tuple[str, ...],
    samples: Iterable[tuple[tuple[str, ...], float]],
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily] = GaugeMetricFamily,
) -> Metric:
    family = kind(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _histogram(name: str, text: str, histogram: Histogram, **labels: str) -> Metric:
    family = HistogramMetricFamily(name, text, labels=list(labels))
    family.add_metric(list(labels.values()), histogram.buckets(), histogram.total)
    return family
