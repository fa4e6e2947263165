/**
 * Where the attempts of a run begin in its log.
 *
 * The worker of a later attempt writes a line of its own at its beginning. Lines are read once, as they arrive.
 */

import { SYSTEM } from "../protocol/messages";
import type { JobLog } from "./job-log";

const BEGINS = /^attempt (\d{1,6}) begins$/;

export interface AttemptStart {
  readonly attempt: number;
  /** The seq of its first line. */
  readonly seq: number;
}

/**
 * The attempts of one run, numbered from 1.
 *
 * The worker's numbers grow over all runs of a job, and its line also begins the first attempt of a later run.
 */
export function attemptsOf(starts: readonly AttemptStart[], first: number): readonly AttemptStart[] {
  const later = starts.filter((each) => each.seq > first).map((each) => each.seq);
  return [first, ...later].map((seq, index) => ({ attempt: index + 1, seq }));
}

export class Attempts {
  #found: AttemptStart[] = [];
  #known = 0;
  #edits = -1;

  constructor(private readonly log: JobLog) {}

  /** The attempts after the first one of which the log has the beginning, oldest first. */
  starts(): readonly AttemptStart[] {
    const { log } = this;
    if (this.#edits !== log.edits) {
      this.#edits = log.edits;
      this.#known = 0;
      this.#found = [];
    }
    for (; this.#known < log.length; this.#known++) {
      if (log.streamAt(this.#known) !== SYSTEM) continue;
      const attempt = Number(BEGINS.exec(log.text(this.#known))?.[1] ?? 0);
      if (attempt > 1) this.#found = [...this.#found, { attempt, seq: log.line(this.#known).seq }];
    }
    return this.#found;
  }
}
