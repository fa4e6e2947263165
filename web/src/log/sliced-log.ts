/**
 * Reads the log of a job by HTTP, in slices, as readers without the job's queue may have it.
 *
 * The hub counts the lines about the image and those of the run apart. Here they are one log, numbered as they arrive.
 */

import { STDERR, STDOUT, SYSTEM, type WireLine } from "../protocol/messages";
import { JobLog } from "./job-log";

export type Kind = "build" | "run";
export const KINDS: readonly Kind[] = ["build", "run"];

/** A line with its end, and its time; the third member is true for standard error. */
export type SlicedLine = readonly [text: string, time: number, isError?: true];

/** Some lines of one kind. */
export interface Slice {
  data: readonly SlicedLine[];
  /** The number of the first line; larger than the requested one when the hub no longer keeps the lines before it. */
  sliceStart: number;
  /** The number to ask for next. */
  nextCursor: number;
  /** Whether the job is finished and has no more lines. */
  isFinal: boolean;
}

export class SlicedLog {
  readonly log = new JobLog();
  #cursors: Record<Kind, number> = { build: 0, run: 0 };
  #first: SlicedLine | null = null;

  /** The number of the next line to ask for. */
  cursor(kind: Kind): number {
    return this.#cursors[kind];
  }

  /** Adds the answer to a request for the lines from `cursor` on; returns whether there may be more now. */
  add(kind: Kind, slice: Slice): boolean {
    const cursor = this.#cursors[kind];
    if (slice.data.length === 0 || slice.nextCursor <= cursor) return false;
    const lost = Math.max(0, slice.sliceStart - cursor);
    const from = this.log.next.peek() + lost;
    if (kind === "run" && cursor === 0 && lost === 0) this.#first = slice.data[0] ?? null;
    this.log.add(slice.data.flatMap((line) => wireLines(kind, line)).map((line, n) => [from + n, ...line]), lost > 0 ? from : null);
    this.#cursors[kind] = slice.nextCursor;
    return !slice.isFinal;
  }

  /** Drops all lines if they are those of an earlier run, which began with another line than this one. */
  isOfRun(first: SlicedLine | undefined): void {
    if (this.#first === null || (first !== undefined && first[0] === this.#first[0] && first[1] === this.#first[1])) return;
    this.log.reset();
    this.#cursors = { build: 0, run: 0 };
    this.#first = null;
  }
}

type Unnumbered = WireLine extends [number, ...infer Rest] ? Rest : never;

/** A line without its end; more than one, if it is a sentence of the hub with line ends in it. */
function wireLines(kind: Kind, [text, time, isError]: SlicedLine): Unnumbered[] {
  const stream = isError ? STDERR : kind === "run" ? STDOUT : SYSTEM;
  const phase = kind === "run" ? "running" : "staging";
  const lines = text.split("\n");
  const open = lines.pop() ?? "";
  const ended = lines.map((line): Unnumbered => {
    const end = line.endsWith("\r") ? 1 : 0;
    return [time, stream, end ? line.slice(0, -1) : line, phase, end];
  });
  return open === "" ? ended : [...ended, [time, stream, open, phase, 2]];
}
