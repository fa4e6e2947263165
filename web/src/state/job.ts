/** A job as the page holds it: the newest state known, with every default filled in. */

import type { Definition, JobState, Phase, State, Summary, Verdict } from "../protocol/messages";

export interface Job {
  readonly id: string;
  readonly rev: number;
  readonly state: State;
  readonly attempt: number;
  readonly phase: Phase | null;
  readonly queued: number;
  readonly started: number;
  readonly finished: number;
  readonly worker: string;
  readonly namespaces: readonly string[];
  readonly priority: number;
  readonly logStart: number;
  readonly verdict: Verdict | null;
  readonly summary: Summary | null;
}

/** The job that a message describes; the summary from before stays when the message has none. */
export function jobFrom(wire: JobState, before?: Job): Job {
  return {
    id: wire.id,
    rev: wire.rev,
    state: wire.state,
    attempt: wire.attempt ?? 0,
    phase: wire.phase ?? null,
    queued: wire.queued ?? 0,
    started: wire.started ?? 0,
    finished: wire.finished ?? 0,
    worker: wire.worker ?? "",
    namespaces: wire.namespaces ?? [],
    priority: wire.priority ?? 0,
    logStart: wire.log_start ?? 0,
    verdict: wire.verdict ?? null,
    summary: wire.summary ?? before?.summary ?? null,
  };
}

/** What a list shows of a definition, for when the hub's own summary was not sent. */
export function summaryOf(definition: Definition): Summary {
  const { command, build } = definition;
  return {
    image: definition.image ?? "",
    build: build === undefined ? "" : (build.context ?? "Dockerfile"),
    command: Array.isArray(command) ? command.join(" ") : (command ?? ""),
    tags: definition.tags ?? [],
  };
}

/** Milliseconds that the job has run so far or ran; null before it started. */
export function runTime(job: Job, now: number): number | null {
  if (job.started === 0) return null;
  if (job.state === "Running") return Math.max(0, now - job.started);
  if (job.state !== "Finished") return null;
  if (job.verdict?.duration) return job.verdict.duration;
  return job.finished > 0 ? Math.max(0, job.finished - job.started) : null;
}

/** Milliseconds that the job waited or is waiting for a worker; null when that is not known. */
export function waitTime(job: Job, now: number): number | null {
  if (job.queued === 0) return null;
  if (job.state === "Queued") return Math.max(0, now - job.queued);
  const until = job.started || job.finished;
  return until > 0 ? Math.max(0, until - job.queued) : null;
}

export const isOver = (job: Job): boolean => job.state === "Finished" || job.state === "Removed";
