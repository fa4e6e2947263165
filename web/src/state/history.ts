/**
 * A queue's activity over hours or days, computed from the times of its jobs, which the hub keeps.
 *
 * How many jobs waited or ran at a moment follows from when each was queued, started and finished.
 */

import { type Job, runTime, waitTime } from "./job";

/** The times of one run of a job, in milliseconds since the epoch; 0 for what did not happen yet. */
export interface Run {
  queued: number;
  started: number;
  finished: number;
  ok: boolean;
  /** Waiting and run time, in milliseconds, if known. */
  wait: number | null;
  run: number | null;
}

export interface Series {
  /** The end of each interval, in seconds since the epoch. */
  times: number[];
  /** The most that waited and ran at once in the interval. */
  queued: number[];
  running: number[];
  /** Jobs that succeeded and that did not in the interval. */
  good: number[];
  bad: number[];
  /** Medians of the jobs that finished in the interval, in milliseconds. */
  wait: (number | null)[];
  run: (number | null)[];
}

export function runOf(job: Job): Run {
  const over = job.state === "Finished";
  return {
    queued: job.queued,
    started: job.started,
    finished: over ? job.finished : 0,
    ok: job.verdict?.ok === true,
    wait: over ? waitTime(job, 0) : null,
    run: over ? runTime(job, 0) : null,
  };
}

/**
 * Computes the series of a range.
 *
 * @param from Begin of the range, in milliseconds since the epoch.
 * @param to Its end, likewise.
 * @param intervals Number of intervals.
 */
export function seriesOf(runs: readonly Run[], from: number, to: number, intervals: number): Series {
  const width = (to - from) / intervals;
  const at = (time: number) => Math.min(intervals - 1, Math.floor((time - from) / width));
  const inside = (time: number) => time >= from && time < to;
  const good = Array.from({ length: intervals }, () => 0);
  const bad = Array.from({ length: intervals }, () => 0);
  const waits: number[][] = Array.from({ length: intervals }, () => []);
  const ran: number[][] = Array.from({ length: intervals }, () => []);
  const waiting: Change[] = [];
  const running: Change[] = [];
  for (const run of runs) {
    spans(waiting, run.queued, run.started || run.finished);
    if (run.started > 0) spans(running, run.started, run.finished);
    if (run.finished === 0 || !inside(run.finished)) continue;
    const n = at(run.finished);
    const list = run.ok ? good : bad;
    list[n] = (list[n] as number) + 1;
    if (run.wait !== null) waits[n]?.push(run.wait);
    if (run.run !== null) ran[n]?.push(run.run);
  }
  return {
    times: Array.from({ length: intervals }, (_, n) => (from + (n + 1) * width) / 1000),
    queued: peaks(waiting, from, width, intervals),
    running: peaks(running, from, width, intervals),
    good,
    bad,
    wait: waits.map(median),
    run: ran.map(median),
  };
}

type Change = readonly [time: number, by: 1 | -1];

function spans(changes: Change[], from: number, to: number): void {
  if (from === 0) return;
  changes.push([from, 1]);
  if (to > 0) changes.push([to, -1]);
}

/** The highest sum of the changes in each interval. */
function peaks(changes: Change[], from: number, width: number, intervals: number): number[] {
  // An end goes before a begin at the same time, so that jobs one after another never count as two at once.
  const sorted = changes.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const found: number[] = [];
  let now = 0;
  let next = 0;
  for (let n = 0; n < intervals; n++) {
    const begin = from + n * width;
    for (; next < sorted.length && (sorted[next] as Change)[0] < begin; next++) now += (sorted[next] as Change)[1];
    let most = now;
    for (; next < sorted.length && (sorted[next] as Change)[0] < begin + width; next++) {
      now += (sorted[next] as Change)[1];
      most = Math.max(most, now);
    }
    found.push(most);
  }
  return found;
}

function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? null : (sorted[sorted.length >> 1] as number);
}
