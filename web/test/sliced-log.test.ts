/** A log that is read in slices has every line once, in order, and says what is lost. */

import { describe, expect, it } from "vitest";
import type { JobLog } from "../src/log/job-log";
import { type Slice, type SlicedLine, SlicedLog } from "../src/log/sliced-log";

const slice = (data: SlicedLine[], from = 0, isFinal = false): Slice => ({
  data,
  sliceStart: from,
  nextCursor: from + data.length,
  isFinal,
});

function shown(log: JobLog): [seq: number, stream: number, text: string, phase: string][] {
  return Array.from({ length: log.length }, (_, at) => {
    const { seq, stream, text, phase } = log.line(at);
    return [seq, stream, text, phase];
  });
}

describe("a log in slices", () => {
  it("has the lines about the image and of both streams, numbered as they come", () => {
    const sliced = new SlicedLog();
    sliced.add("build", slice([["step 1\n", 1], ["careful\n", 2, true]]));
    sliced.add("run", slice([["one\n", 3], ["two\r\n", 4, true], ["three", 5]]));
    expect(shown(sliced.log)).toEqual([
      [0, 2, "step 1", "staging"],
      [1, 1, "careful", "staging"],
      [2, 0, "one", "running"],
      [3, 1, "two", "running"],
      [4, 0, "three", "running"],
    ]);
    expect([...sliced.log.written(0)].map(([text]) => text).join("")).toBe("one\nthree");
    expect([...sliced.log.written(1)].map(([text]) => text).join("")).toBe("two\r\n");
  });

  it("goes on where it was, and ends with the final slice", () => {
    const sliced = new SlicedLog();
    expect(sliced.add("run", slice([["one\n", 1]]))).toBe(true);
    expect(sliced.cursor("run")).toBe(1);
    expect(sliced.add("run", { data: [], sliceStart: 1, nextCursor: 1, isFinal: false })).toBe(false);
    expect(sliced.add("run", slice([["two\n", 2]], 1, true))).toBe(false);
    expect(shown(sliced.log).map(([, , text]) => text)).toEqual(["one", "two"]);
    expect(sliced.cursor("build")).toBe(0);
  });

  it("lets a line with a carriage return be overwritten, as on a terminal", () => {
    const sliced = new SlicedLog();
    sliced.add("run", slice([["10 %\r", 1], ["99 %\r", 2], ["done\n", 3]]));
    expect(shown(sliced.log).map(([, , text]) => text)).toEqual(["done"]);
  });

  it("says which lines the hub no longer keeps", () => {
    const sliced = new SlicedLog();
    sliced.add("run", slice([["late\n", 1]], 500));
    expect(sliced.log.holes).toEqual([{ at: 0, from: 0, to: 500, kind: "lost" }]);
    expect(sliced.cursor("run")).toBe(501);
  });

  it("asks for nothing twice when a slice moves nothing on", () => {
    const sliced = new SlicedLog();
    expect(sliced.add("run", { data: [["one\n", 1]], sliceStart: 0, nextCursor: 0, isFinal: false })).toBe(false);
    expect(sliced.log.length).toBe(0);
  });

  it("shows a sentence of the hub line by line", () => {
    const sliced = new SlicedLog();
    sliced.add("run", slice([["the image is missing\nname another one\n", 1, true]]));
    expect(shown(sliced.log).map(([, stream, text]) => [stream, text])).toEqual([
      [1, "the image is missing"],
      [1, "name another one"],
    ]);
  });

  it("begins again for another run, and keeps the lines of the same one", () => {
    const sliced = new SlicedLog();
    sliced.isOfRun(["one\n", 9]);
    sliced.add("build", slice([["pull\n", 0]]));
    sliced.add("run", slice([["one\n", 1]]));
    sliced.isOfRun(["one\n", 1]);
    expect(sliced.log.length).toBe(2);
    sliced.isOfRun(["one\n", 9]);
    expect([sliced.log.length, sliced.cursor("build"), sliced.cursor("run")]).toEqual([0, 0, 0]);
  });
});
