/** A job's newest known state, with all defaults filled in. */

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
  readonly back: string;
  readonly verdict: Verdict | null;
  readonly summary: Summary | null;
  readonly run: number;
}

/** Whether a state is newer than another one: a later run's, or a later one of the same run. */
export function newer(one: JobState, other: Job): boolean {
  const queued = one.queued ?? 0;
  return queued === other.queued ? one.rev > other.rev : queued > other.queued;
}

/** Converts a message to a job; the previous summary is kept when the message has none. */
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
    back: wire.back ?? "",
    verdict: wire.verdict ?? null,
    summary: wire.summary ?? before?.summary ?? null,
    run: wire.run ?? 1,
  };
}

/** Summarizes a definition for a list, in case the hub did not send a summary. */
export function summaryOf(definition: Definition): Summary {
  const { command, build } = definition;
  return {
    image: definition.image ?? "",
    build: build === undefined ? "" : (build.context ?? "Dockerfile"),
    command: Array.isArray(command) ? command.join(" ") : (command ?? ""),
    tags: definition.tags ?? [],
  };
}

/** Run time so far or in total, in milliseconds; null before the job started. */
export function runTime(job: Job, now: number): number | null {
  if (job.started === 0) return null;
  if (job.state === "Running") return Math.max(0, now - job.started);
  if (job.state !== "Finished") return null;
  if (job.verdict?.duration) return job.verdict.duration;
  return job.finished > 0 ? Math.max(0, job.finished - job.started) : null;
}

/** Waiting time so far or in total, in milliseconds; null when it is not known. */
export function waitTime(job: Job, now: number): number | null {
  if (job.queued === 0) return null;
  if (job.state === "Queued") return Math.max(0, now - job.queued);
  const until = job.started || job.finished;
  return until > 0 ? Math.max(0, until - job.queued) : null;
}

export const isOver = (job: Job): boolean => job.state === "Finished" || job.state === "Removed";
