import { describe, expect, it } from "vitest";
import { Attempts, attemptsOf } from "../src/log/attempts";
import { JobLog } from "../src/log/job-log";
import { type Run, seriesOf } from "../src/state/history";
import type { WireLine } from "../src/protocol/messages";

const run = (queued: number, started: number, finished: number, ok = true): Run => ({
  queued,
  started,
  finished,
  ok,
  wait: started > 0 ? started - queued : null,
  run: finished > 0 ? finished - started : null,
});

describe("the history of a queue", () => {
  it("counts what finished in each interval, by how it ended", () => {
    const made = seriesOf([run(1, 2, 1005), run(1, 2, 1999), run(1, 2, 2000, false), run(1, 2, 999), run(1, 2, 3000)], 1000, 3000, 2);
    expect(made.times).toEqual([2, 3]);
    expect(made.good).toEqual([2, 0]);
    expect(made.bad).toEqual([0, 1]);
  });

  it("knows the most that waited and ran at once, also of jobs that began before", () => {
    const made = seriesOf([run(500, 1500, 2500), run(500, 1500, 0), run(2600, 0, 0)], 1000, 4000, 3);
    expect(made.queued).toEqual([2, 1, 1]);
    expect(made.running).toEqual([2, 2, 1]);
  });

  it("never counts jobs one after another as two at once", () => {
    expect(seriesOf([run(1, 1000, 1100), run(1, 1100, 1200)], 1000, 2000, 1).running).toEqual([1]);
  });

  it("has medians where jobs finished, and nothing elsewhere", () => {
    const made = seriesOf([run(1000, 1010, 1110), run(1000, 1020, 1220), run(1000, 1030, 1330)], 1000, 3000, 2);
    expect(made.wait).toEqual([20, null]);
    expect(made.run).toEqual([200, null]);
  });

  it("takes a job that was cancelled while it waited for one that never ran", () => {
    const made = seriesOf([{ queued: 1000, started: 0, finished: 1500, ok: false, wait: 500, run: null }], 1000, 2000, 2);
    expect([made.queued, made.running, made.bad]).toEqual([[1, 1], [0, 0], [0, 1]]);
  });
});

describe("the attempts of a run", () => {
  const line = (seq: number, text: string, stream = 0): WireLine => [seq, 1000 + seq, stream, text];

  it("begin with a line of the worker, and never with one of the job", () => {
    const log = new JobLog();
    const attempts = new Attempts(log);
    log.add([line(0, "one"), line(1, "attempt 2 begins", 0), line(2, "attempt 2 begins", 2), line(3, "one")]);
    expect(attempts.starts()).toEqual([{ attempt: 2, seq: 2 }]);
    log.add([line(4, "attempt 3 begins", 2)]);
    expect(attempts.starts()).toEqual([{ attempt: 2, seq: 2 }, { attempt: 3, seq: 4 }]);
  });

  it("are found in lines that come late, and forgotten with the log", () => {
    const log = new JobLog();
    const attempts = new Attempts(log);
    log.add([line(0, "one"), line(2, "two")]);
    expect(attempts.starts()).toEqual([]);
    log.add([line(1, "attempt 2 begins", 2)]);
    expect(attempts.starts()).toEqual([{ attempt: 2, seq: 1 }]);
    log.reset(3);
    expect(attempts.starts()).toEqual([]);
  });

  it("are numbered within their run, and its first one is no later one", () => {
    expect(attemptsOf([], 0)).toEqual([{ attempt: 1, seq: 0 }]);
    expect(attemptsOf([{ attempt: 6, seq: 9 }], 9)).toEqual([{ attempt: 1, seq: 9 }]);
    expect(attemptsOf([{ attempt: 5, seq: 3 }, { attempt: 6, seq: 9 }, { attempt: 7, seq: 20 }], 9)).toEqual([
      { attempt: 1, seq: 9 },
      { attempt: 2, seq: 20 },
    ]);
  });

  it("finds lines by their seq, or the next one", () => {
    const log = new JobLog();
    log.add([line(3, "a"), line(4, "b"), line(9, "c")]);
    expect([0, 3, 4, 5, 9, 10].map((seq) => log.find(seq))).toEqual([0, 0, 1, 2, 2, 3]);
  });
});
