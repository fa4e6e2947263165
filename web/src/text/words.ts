/** The page's words and sentences about jobs. */

import type { Phase, Reason } from "../protocol/messages";
import type { Job } from "../state/job";
import { duration } from "./format";

export const PHASE_WORDS: Readonly<Record<Phase, string>> = {
  assigned: "assigned",
  staging: "preparing",
  pulling: "pulling image",
  building: "building image",
  running: "running",
  uploading: "saving outputs",
};

/** Headings of phases. */
export const PHASE_NOUNS: Readonly<Record<Phase, string>> = {
  assigned: "Assigned",
  staging: "Preparation",
  pulling: "Image pull",
  building: "Image build",
  running: "Run",
  uploading: "Outputs",
};

/** The name of a build's context; an uploaded folder is known by its hash alone, of which few digits tell it from others. */
export function buildWords(context: string): string {
  const uploaded = /^key:([0-9a-f]{8})[0-9a-f]{56}$/.exec(context);
  return uploaded === null ? context : `an uploaded folder (${uploaded[1]})`;
}

const REASON_WORDS: Readonly<Record<Reason, string>> = {
  Success: "Success",
  Failed: "Failed",
  Error: "Error",
  TimedOut: "Timed out",
  OutOfMemory: "Out of memory",
  Cancelled: "Cancelled",
  Replaced: "Replaced",
  WorkerLost: "Worker lost",
  Deleted: "Deleted",
};

/** The colour class of a job's state. */
export type Tone = "waiting" | "active" | "good" | "bad" | "warn" | "quiet";

export function tone(job: Job): Tone {
  if (job.state === "Queued") return "waiting";
  if (job.state === "Running") return "active";
  switch (job.verdict?.reason) {
    case "Success":
      return "good";
    case "Failed":
    case "Error":
      return "bad";
    case "TimedOut":
    case "OutOfMemory":
    case "WorkerLost":
      return "warn";
    default:
      return "quiet";
  }
}

/** The state in one or a few words. */
export const reasonWords = (reason: Reason): string => REASON_WORDS[reason] ?? reason;

export function stateWords(job: Job): string {
  if (job.state === "Finished") {
    const reason = job.verdict?.reason;
    return reason === undefined ? "Finished" : (REASON_WORDS[reason] ?? reason);
  }
  return job.state;
}

/** The phase of a running job; empty in the phase `running` itself. */
export function phaseWords(job: Job): string {
  if (job.state !== "Running" || job.phase === null || job.phase === "running") return "";
  return PHASE_WORDS[job.phase] ?? job.phase;
}

/** The job's outcome, or the reason why it waits, in a sentence. */
export function verdictSentence(job: Job, where: string, workersOnline: number): string {
  switch (job.state) {
    case "Queued":
      if (workersOnline === 0) return "The job is waiting: no worker is connected to this queue.";
      return "The job is waiting for a worker with enough free resources.";
    case "Running":
      return runningSentence(job, where);
    case "Removed":
      return "This job was deleted from the queue.";
    case "Finished":
      return finishedSentence(job, where);
  }
}

function runningSentence(job: Job, where: string): string {
  const on = where === "" ? "a worker" : where;
  switch (job.phase) {
    case "staging":
      return `The job is being prepared on ${on}.`;
    case "pulling":
      return `The image is being pulled on ${on}.`;
    case "building":
      return `The image is being built on ${on}.`;
    case "uploading":
      return `The command has exited. The outputs are being saved from ${on}.`;
    case "assigned":
      return `The job was assigned to ${on}.`;
    default:
      return `The job is running on ${on}.`;
  }
}

function finishedSentence(job: Job, where: string): string {
  const verdict = job.verdict;
  if (verdict === null) return "The job is finished.";
  const took = verdict.duration ? ` after ${duration(verdict.duration)}` : "";
  const on = where === "" ? "" : ` on ${where}`;
  const said = verdict.message ? asSentence(verdict.message) : "";
  switch (verdict.reason) {
    case "Success":
      return `Succeeded (exit code ${verdict.exit_code ?? 0})${took}${on}.${said && ` ${said}`}`;
    case "Failed":
      return `Failed (exit code ${verdict.exit_code ?? "unknown"})${took}${on}.${said && ` ${said}`}`;
    case "Error":
      return said || "The job could not be run.";
    case "TimedOut":
      return said || `The job was stopped at its time limit${took}.`;
    case "OutOfMemory":
      return said || `The job was stopped${took} because it exceeded its memory limit.`;
    case "Cancelled":
      return said || "The job was cancelled.";
    case "Replaced":
      return said || "The job was replaced by a newer job.";
    case "WorkerLost":
      return said || "Too many attempts were lost with their workers, so the job is not attempted again.";
    case "Deleted":
      return "The result was deleted.";
    default:
      return said || "The job is finished.";
  }
}

/** The side at fault for an error, in a sentence. */
export function faultWords(fault: string | null | undefined): string {
  if (fault === "job") return "The cause is in the job.";
  if (fault === "worker") return "The cause is in the worker, not in the job.";
  if (fault === "hub") return "The cause is in the hub, not in the job.";
  return "";
}

/** The text with a capital letter at its start and a full stop at its end. */
export function asSentence(text: string): string {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}
