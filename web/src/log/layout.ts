/**
 * Computes the position of each row of a log, so that only the visible rows are drawn.
 *
 * Rows are lines, holes, and one heading for each phase, which can be folded. Heights are computed without drawing: a
 * line either does not wrap or wraps at a number of columns. The measured height of a drawn line corrects its estimate.
 */

import type { Phase } from "../protocol/messages";
import type { Hole, JobLog } from "./job-log";
import { plainText } from "./ansi";

/** Consecutive lines of one phase, under one heading. */
export interface Group {
  /** Index among the groups; it stays the same while lines arrive. */
  readonly index: number;
  readonly phase: Phase;
  readonly from: number;
  readonly to: number;
}

export type Row =
  | { kind: "line"; at: number }
  | { kind: "hole"; hole: Hole }
  | { kind: "heading"; group: Group; folded: boolean };

interface Segment {
  readonly kind: Row["kind"];
  readonly top: number;
  readonly height: number;
  readonly from: number;
  readonly to: number;
  readonly group: Group;
  readonly hole: Hole | null;
}

/** Height of a line, in pixels. */
export const LINE = 18;
/** Height of a heading, in pixels. */
export const HEADING = 28;

/** Most groups; past this, alternating phases share one group, or the log would be mostly headings. */
const MOST_GROUPS = 64;

export class LogLayout {
  groups: Group[] = [];
  /** Height of all rows, in pixels. */
  height = 0;
  #segments: Segment[] = [];
  /** Number of text rows before each line, when lines wrap. */
  #tops: number[] = [0];
  #columns = 0;
  #known = 0;
  #edits = -1;
  #measured = new Map<number, number>();

  constructor(private readonly log: JobLog) {}

  /**
   * Includes the lines that arrived since the last update.
   *
   * @param columns Columns after which a line wraps; 0 when lines do not wrap.
   */
  update(columns: number, isFolded: (group: Group) => boolean): void {
    const { log } = this;
    if (this.#edits !== log.edits || columns !== this.#columns) {
      this.#edits = log.edits;
      this.#columns = columns;
      this.#known = 0;
      this.#tops = [0];
      this.#measured.clear();
      this.groups = [];
    }
    // The last line may have been overwritten since (carriage return).
    const from = Math.max(0, this.#known - 1);
    if (columns > 0) this.#measure(from);
    this.#group(this.#known);
    this.#known = log.length;
    this.#place(isFolded);
  }

  /** The rows between two vertical positions in pixels, and the position of the first row. */
  window(from: number, to: number): { top: number; rows: Row[] } {
    const rows: Row[] = [];
    let top = -1;
    for (let n = this.#find(from); n < this.#segments.length; n++) {
      const segment = this.#segments[n] as Segment;
      if (segment.top >= to) break;
      if (segment.kind !== "line") {
        if (top < 0) top = segment.top;
        if (segment.kind === "hole" && segment.hole !== null) rows.push({ kind: "hole", hole: segment.hole });
        else rows.push({ kind: "heading", group: segment.group, folded: segment.to < 0 });
        continue;
      }
      const first = this.#lineAt(segment, from);
      if (top < 0) top = this.#lineTop(segment, first);
      for (let at = first; at < segment.to; at++) {
        if (this.#lineTop(segment, at) >= to) break;
        rows.push({ kind: "line", at });
      }
    }
    return { top: Math.max(0, top), rows };
  }

  /** The vertical position of a line, in pixels; null when its phase is folded. */
  topOf(at: number): number | null {
    const segment = this.#segments.find((each) => each.kind === "line" && at >= each.from && at < each.to);
    return segment === undefined ? null : this.#lineTop(segment, at);
  }

  groupOf(at: number): Group | undefined {
    return this.groups.find((group) => at >= group.from && at < group.to);
  }

  /** Corrects a line's height by its measured one; returns whether it changed. */
  correct(at: number, pixels: number): boolean {
    const rows = Math.max(1, Math.round(pixels / LINE));
    const known = (this.#tops[at + 1] as number) - (this.#tops[at] as number);
    if (this.#columns === 0 || at >= this.#known || rows === known) return false;
    this.#measured.set(at, rows);
    for (let n = at + 1; n < this.#tops.length; n++) this.#tops[n] = (this.#tops[n] as number) + rows - known;
    return true;
  }

  #measure(from: number): void {
    const { log } = this;
    const tops = this.#tops;
    tops.length = from + 1;
    for (let at = from; at < log.length; at++) {
      const rows = this.#measured.get(at) ?? rowsOf(log.text(at), this.#columns);
      tops.push((tops[at] as number) + rows);
    }
  }

  #group(from: number): void {
    const { log, groups } = this;
    let last = groups.at(-1);
    for (let at = from; at < log.length; at++) {
      const phase = log.phaseAt(at);
      if (last === undefined || (last.phase !== phase && groups.length < MOST_GROUPS)) {
        if (last !== undefined) groups[last.index] = { ...last, to: at };
        last = { index: groups.length, phase, from: at, to: at + 1 };
        groups.push(last);
      }
    }
    if (last !== undefined && last.to !== log.length) groups[last.index] = { ...last, to: log.length };
  }

  #place(isFolded: (group: Group) => boolean): void {
    const { log, groups } = this;
    const headed = groups.length > 1 || (groups[0] !== undefined && groups[0].phase !== "running");
    const segments: Segment[] = [];
    let top = 0;
    const put = (kind: Row["kind"], height: number, from: number, to: number, group: Group, hole: Hole | null = null) => {
      segments.push({ kind, top, height, from, to, group, hole });
      top += height;
    };
    let nextHole = 0;
    const nobody: Group = { index: 0, phase: "running", from: 0, to: 0 };
    for (const group of groups) {
      const folded = headed && isFolded(group);
      if (headed) put("heading", HEADING, group.from, folded ? -1 : group.to, group);
      let from = group.from;
      for (; nextHole < log.holes.length; nextHole++) {
        const hole = log.holes[nextHole] as Hole;
        if (hole.at >= group.to) break;
        if (folded) continue;
        if (hole.at > from) put("line", this.#heightOf(from, hole.at), from, hole.at, group);
        put("hole", LINE, hole.at, hole.at, group, hole);
        from = hole.at;
      }
      if (!folded && group.to > from) put("line", this.#heightOf(from, group.to), from, group.to, group);
    }
    for (const hole of log.holes.slice(nextHole)) put("hole", LINE, hole.at, hole.at, nobody, hole);
    this.#segments = segments;
    this.height = top;
  }

  #heightOf(from: number, to: number): number {
    if (this.#columns === 0) return (to - from) * LINE;
    return ((this.#tops[to] as number) - (this.#tops[from] as number)) * LINE;
  }

  #lineTop(segment: Segment, at: number): number {
    return segment.top + this.#heightOf(segment.from, at);
  }

  /** The index of the segment at a vertical position. */
  #find(y: number): number {
    let low = 0;
    let high = this.#segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#segments[middle] as Segment).top <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #lineAt(segment: Segment, y: number): number {
    if (y <= segment.top) return segment.from;
    if (this.#columns === 0) return Math.min(segment.to - 1, segment.from + Math.floor((y - segment.top) / LINE));
    let low = segment.from;
    let high = segment.to - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#lineTop(segment, middle) <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** Number of rows of a line that wraps between words, and inside words that are too long. */
export function rowsOf(text: string, columns: number): number {
  const all = columnsOf(text);
  if (all <= columns) return 1;
  let rows = 1;
  let used = 0;
  for (const word of plainText(text).match(/\S+|\s+/g) ?? []) {
    const width = columnsOf(word);
    // White space at the end of a row does not wrap.
    if (/^\s/.test(word)) used = Math.min(columns, used + width);
    else if (used + width <= columns) used += width;
    else {
      if (used > 0) rows += 1;
      rows += Math.ceil(width / columns) - 1;
      used = width % columns || columns;
    }
  }
  return rows;
}

/** Width of a line in columns of a monospace font; East Asian characters and emoji take two. */
export function columnsOf(text: string): number {
  const line = plainText(text);
  if (/^[\x20-\x7e]*$/.test(line)) return line.length;
  let columns = 0;
  for (const letter of line) {
    const code = letter.codePointAt(0) as number;
    if (code === 9) columns += 8 - (columns % 8);
    else columns += code >= 0x1100 && (code <= 0x115f || code >= 0x2e80) && code !== 0xfffd ? 2 : 1;
  }
  return columns;
}
