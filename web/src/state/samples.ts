/** Samples of a queue's counts over time, with the median wait and run time of newly finished jobs. */

export interface Sample {
  /** The hub's time, in milliseconds since the epoch. */
  time: number;
  queued: number;
  running: number;
  finished: number;
}

export interface Over {
  id: string;
  finished: number;
  wait: number | null;
  run: number | null;
}

/** Number of samples kept, one a second: ten minutes. */
const KEPT = 600;
/** Number of finished jobs remembered as already counted. */
const SEEN = 5000;

export class Samples {
  /** Times of the samples, in seconds since the epoch. */
  readonly times: number[] = [];
  readonly queued: number[] = [];
  readonly running: number[] = [];
  /** Jobs finished per second. */
  readonly rate: (number | null)[] = [];
  /** Median waiting times, in milliseconds. */
  readonly wait: (number | null)[] = [];
  /** Median run times, in milliseconds. */
  readonly run: (number | null)[] = [];
  #before: Sample | null = null;
  #finished = 0;
  #seen = new Set<string>();

  /** Records the queue's current total of finished jobs. */
  counted(finished: number): void {
    this.#finished = finished;
  }

  take(sample: Sample, over: readonly Over[]): void {
    const fresh = over.filter(({ id }) => !this.#seen.has(id));
    for (const { id } of fresh) this.#seen.add(id);
    if (this.#seen.size > SEEN) this.#seen = new Set(over.map(({ id }) => id));
    const before = this.#before;
    const seconds = before === null ? 0 : (sample.time - before.time) / 1000;
    const more = Math.max(this.#finished, sample.finished) - (before?.finished ?? 0);
    this.times.push(sample.time / 1000);
    this.queued.push(sample.queued);
    this.running.push(sample.running);
    this.rate.push(seconds > 0 ? Math.max(0, more / seconds) : null);
    // Jobs that finished before the first sample say nothing about the present.
    const now = before === null ? [] : fresh;
    this.wait.push(median(now.map(({ wait }) => wait)));
    this.run.push(median(now.map(({ run }) => run)));
    this.#before = { ...sample, finished: Math.max(this.#finished, sample.finished) };
    if (this.times.length > KEPT) for (const list of [this.times, this.queued, this.running, this.rate, this.wait, this.run]) list.shift();
  }
}

function median(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  return known.length === 0 ? null : (known[known.length >> 1] as number);
}
