import { describe, expect, it } from "vitest";
import type { WireLine } from "../src/protocol/messages";
import { JobLog } from "../src/state/log";

const lines = (from: number, to: number): WireLine[] =>
  Array.from({ length: to - from }, (_, n) => [from + n, 0, 0, `line ${from + n}`, "running"]);

/** What a reader sees: seqs, and holes as `[from, to)` with `!` when they are lost, `<` when the page let go. */
function seen(log: JobLog): (number | string)[] {
  return log.chunks.value.flatMap((chunk) => [
    ...(chunk.before === null ? [] : [`${chunk.before.from}-${chunk.before.to}${{ missing: "", lost: "!", left: "<" }[chunk.before.kind]}`]),
    ...chunk.lines.map((line) => line.seq),
  ]);
}

describe("the log of a job", () => {
  it("appends in order and drops repeats", () => {
    const log = new JobLog();
    log.add(lines(0, 3));
    log.add(lines(1, 5));
    expect(seen(log)).toEqual([0, 1, 2, 3, 4]);
    expect(log.next.value).toBe(5);
  });

  it("shows what the hub no longer keeps", () => {
    const log = new JobLog();
    log.add(lines(10, 12), 10);
    expect(seen(log)).toEqual(["0-10!", 10, 11]);
    expect(log.hole()).toBeNull();
  });

  it("fills a hole with what is fetched", () => {
    const log = new JobLog();
    log.add(lines(0, 2));
    log.add(lines(6, 8));
    expect(seen(log)).toEqual([0, 1, "2-6", 6, 7]);
    expect(log.hole()).toMatchObject({ from: 2, to: 6 });
    log.add(lines(2, 4));
    expect(seen(log)).toEqual([0, 1, 2, 3, "4-6", 6, 7]);
    log.lose(4, 6);
    expect(seen(log)).toEqual([0, 1, 2, 3, "4-6!", 6, 7]);
    expect(log.next.value).toBe(8);
  });

  it("keeps full chunks as they are", () => {
    const log = new JobLog();
    log.add(lines(0, 450));
    const [first, second] = log.chunks.value;
    log.add(lines(450, 460));
    expect(log.chunks.value.map((chunk) => chunk.lines.length)).toEqual([200, 200, 60]);
    expect(log.chunks.value[0]).toBe(first);
    expect(log.chunks.value[1]).toBe(second);
    expect(log.held).toBe(460);
  });

  it("lets go of the oldest lines and says so", () => {
    const log = new JobLog();
    for (let n = 0; n < 100; n++) log.add(lines(n * 1000, (n + 1) * 1000));
    expect(log.held).toBe(20_000);
    expect(seen(log).slice(0, 2)).toEqual(["0-80000<", 80_000]);
    expect(log.hole()).toBeNull();
  });

  it("starts over for a new run", () => {
    const log = new JobLog();
    log.add(lines(0, 5));
    log.reset();
    log.add(lines(0, 1));
    expect(seen(log)).toEqual([0]);
  });
});
