/**
 * The log of one job, in order and without duplicates.
 *
 * Lines carry an absolute seq. A line with a seq below the next expected one is a duplicate, unless it fills a hole. A
 * hole in the sequence is always either fetched or shown. A line that ends in a carriage return is overwritten by the
 * next line of its stream, as on a terminal.
 */

import { type Signal, signal } from "@preact/signals";
import { PLAIN, type Style, styleAfter } from "./ansi";
import { type OldLine, Overwritten } from "./overwritten";
import type { Phase, WireLine } from "../protocol/messages";

export interface Line {
  readonly seq: number;
  readonly time: number;
  readonly stream: number;
  readonly text: string;
  readonly phase: Phase;
  /** The style at the start of the text; colours last beyond the end of a line. */
  readonly style: Style;
}

/** Lines that are not here, from seq `from` up to but not including `to`; they belong before the line at index `at`. */
export interface Hole {
  readonly at: number;
  readonly from: number;
  readonly to: number;
  /** `missing`: can still be fetched; `lost`: the hub no longer has them; `left`: this page dropped them. */
  readonly kind: "missing" | "lost" | "left";
}

/** Most lines kept on the page. Past this the oldest tenth is dropped, and the page says so. */
export const KEPT_LINES = 1_000_000;

const PHASES: readonly Phase[] = ["assigned", "staging", "pulling", "building", "running", "uploading"];
/** The ends that were removed from the lines' texts, by the number of the wire. */
const LINE_ENDS: readonly string[] = ["\n", "\r\n", ""];
const NO_END = 2;
/** Phases in which nothing that is written is the job's own. */
const BEFORE_RUN: ReadonlySet<Phase> = new Set(["assigned", "staging", "pulling", "building"]);
/** Most lines inserted by one call, as the number of arguments of a call is limited. */
const SPLICE = 10_000;

export class JobLog {
  /** Counter of changes; views of the log depend on it. */
  readonly version: Signal<number> = signal(0);
  /** The seq of the next expected line. */
  readonly next: Signal<number> = signal(0);

  // One array for each field, so that a million lines need little more memory than their text.
  #texts: string[] = [];
  #times: number[] = [];
  #seqs: number[] = [];
  /** Stream, end and phase, packed into one number. */
  #kinds: number[] = [];
  /** The lines that later ones overwrote: the view has no place for them, but a stream consists of them, too. */
  readonly #overwritten = new Overwritten();
  #holes: Hole[] = [];
  /** The style at the start of a line, by seq, where it is not plain. */
  #styles = new Map<number, Style>();
  /** The style at the end of each stream's last line. */
  #ends: Style[] = [PLAIN, PLAIN, PLAIN];

  /** Counter of changes that moved lines before the last one; cached positions are invalid when it grows. */
  edits = 0;

  constructor(private readonly kept: number = KEPT_LINES) {}

  /** The number of lines held. */
  get length(): number {
    return this.#texts.length;
  }

  get holes(): readonly Hole[] {
    return this.#holes;
  }

  line(at: number): Line {
    const seq = this.#seqs[at] as number;
    return {
      seq,
      time: this.#times[at] as number,
      stream: this.streamAt(at),
      text: this.text(at),
      phase: this.phaseAt(at),
      style: this.#styles.get(seq) ?? PLAIN,
    };
  }

  /** The index of the first line with this seq or a later one; `length` if there is none. */
  find(seq: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#seqs[middle] as number) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  text(at: number): string {
    return this.#texts[at] as string;
  }

  time(at: number): number {
    return this.#times[at] as number;
  }

  streamAt(at: number): number {
    return (this.#kinds[at] as number) & 3;
  }

  phaseAt(at: number): Phase {
    return PHASES[(this.#kinds[at] as number) >> 4] ?? "running";
  }

  /**
   * Yields what the job itself wrote to a stream, without what was written for its image: each text with its end, and
   * its time. The texts, joined, are what it wrote, byte for byte, as far as the lines are here.
   */
  *written(stream: number): Generator<readonly [text: string, time: number]> {
    let old = 0;
    for (let at = 0; at <= this.length; at++) {
      const seq = at < this.length ? (this.#seqs[at] as number) : Number.MAX_SAFE_INTEGER;
      for (; old < this.#overwritten.length && this.#overwritten.at(old).seq < seq; old++) {
        const line = this.#overwritten.at(old);
        if (isOfRun(line.kind, stream)) yield [line.text, line.time];
      }
      if (at < this.length && isOfRun(this.#kinds[at] as number, stream)) {
        yield [this.text(at) + (LINE_ENDS[endOf(this.#kinds[at] as number)] as string), this.time(at)];
      }
    }
  }

  /** Drops all lines, for a new run of the job that begins at this seq. */
  reset(start = 0): void {
    this.#texts = [];
    this.#times = [];
    this.#seqs = [];
    this.#kinds = [];
    this.#holes = [];
    this.#overwritten.clear();
    this.#styles.clear();
    this.#ends = [PLAIN, PLAIN, PLAIN];
    this.edits += 1;
    this.next.value = start;
    this.#changed();
  }

  /** Skips the lines of earlier runs, which are not part of this run and therefore not missing. */
  begin(start: number): void {
    if (this.length === 0 && this.next.peek() < start) this.next.value = start;
  }

  /**
   * Adds lines, which are in order.
   *
   * @param gap The seq below which the hub no longer has the lines before these.
   */
  add(lines: readonly WireLine[], gap: number | null = null): void {
    let next = this.next.peek();
    const late: WireLine[] = [];
    for (const line of lines) {
      const seq = line[0];
      if (seq < next) {
        late.push(line);
        continue;
      }
      if (seq > next) {
        const kind = gap !== null && gap >= seq ? "lost" : "missing";
        this.#holes.push({ at: this.length, from: next, to: seq, kind });
      }
      this.#append(line, seq === next);
      next = seq + 1;
    }
    if (late.length > 0) this.#fill(late);
    if (this.length > this.kept) this.#letGo();
    this.next.value = next;
    this.#changed();
  }

  /** The first hole that can still be fetched. */
  hole(): Hole | null {
    return this.#holes.find((hole) => hole.kind === "missing") ?? null;
  }

  /** Marks the missing lines in a range as lost, after the hub answered that it does not have them. */
  lose(from: number, to: number): void {
    this.#holes = this.#holes.map((hole) =>
      hole.kind === "missing" && hole.from >= from && hole.to <= to ? { ...hole, kind: "lost" } : hole,
    );
    this.#changed();
  }

  #append(line: WireLine, contiguous: boolean): void {
    const [seq, time, stream, text] = line;
    const kind = kindOf(line);
    const last = this.length - 1;
    const start = this.#ends[stream] ?? PLAIN;
    this.#ends[stream] = styleAfter(text, start);
    if (contiguous && last >= 0 && this.#isOpen(last, kind)) {
      this.#styles.delete(this.#seqs[last] as number);
      // An empty line overwrites nothing: it only ends the line, whose text then ends in a carriage return and its end.
      if (text !== "") {
        this.#overwritten.add(this.#old(last));
        this.#texts[last] = text;
      }
      this.#seqs[last] = seq;
      this.#times[last] = time;
      this.#kinds[last] = kind;
    } else {
      this.#texts.push(text);
      this.#times.push(time);
      this.#seqs.push(seq);
      this.#kinds.push(kind);
    }
    if (start !== PLAIN) this.#styles.set(seq, start);
  }

  /** Whether the line at an index ended in a carriage return, so that the next one of its stream and phase overwrites it. */
  #isOpen(at: number, next: number): boolean {
    const kind = this.#kinds[at] as number;
    return withoutEnd(kind) === withoutEnd(next) && endOf(kind) === NO_END && this.text(at).endsWith("\r");
  }

  #old(at: number): OldLine {
    return { seq: this.#seqs[at] as number, time: this.time(at), text: this.text(at), kind: this.#kinds[at] as number };
  }

  /** Inserts lines into the holes where they belong, and ignores duplicates. */
  #fill(late: readonly WireLine[]): void {
    for (let n = 0; n < this.#holes.length; n++) {
      const hole = this.#holes[n] as Hole;
      if (hole.kind !== "missing") continue;
      const found = late.filter((line) => line[0] >= hole.from && line[0] < hole.to).sort((a, b) => a[0] - b[0]);
      if (found.length === 0) continue;
      this.#insert(hole.at, found);
      const rest = leftOver(hole, found);
      const moved = this.#holes.slice(n + 1).map((later) => ({ ...later, at: later.at + found.length }));
      this.#holes = [...this.#holes.slice(0, n), ...rest, ...moved];
      n += rest.length - 1;
    }
  }

  #insert(at: number, lines: readonly WireLine[]): void {
    this.edits += 1;
    for (let from = lines.length; from > 0; from -= SPLICE) {
      const part = lines.slice(Math.max(0, from - SPLICE), from);
      this.#texts.splice(at, 0, ...part.map((line) => line[3]));
      this.#times.splice(at, 0, ...part.map((line) => line[1]));
      this.#seqs.splice(at, 0, ...part.map((line) => line[0]));
      this.#kinds.splice(at, 0, ...part.map(kindOf));
    }
  }

  #letGo(): void {
    this.edits += 1;
    const cut = this.length - Math.floor(this.kept * 0.9);
    const from = Math.min(this.#seqs[0] as number, this.#holes[0]?.from ?? Number.MAX_SAFE_INTEGER);
    this.#texts = this.#texts.slice(cut);
    this.#times = this.#times.slice(cut);
    this.#seqs = this.#seqs.slice(cut);
    this.#kinds = this.#kinds.slice(cut);
    const first = this.#seqs[0] as number;
    this.#overwritten.dropBefore(first);
    for (const seq of this.#styles.keys()) if (seq < first) this.#styles.delete(seq);
    const kept = this.#holes.filter((hole) => hole.at > cut).map((hole) => ({ ...hole, at: hole.at - cut }));
    this.#holes = [{ at: 0, from, to: first, kind: "left" }, ...kept];
  }

  #changed(): void {
    this.version.value = this.version.peek() + 1;
  }
}

function kindOf([, , stream, text, phase, end = 0]: WireLine): number {
  // A carriage return that stays in the text is the line's end, also where an older hub named no end.
  const removed = text.endsWith("\r") ? NO_END : end & 3;
  return (stream & 3) | (removed << 2) | (Math.max(0, PHASES.indexOf(phase ?? "running")) << 4);
}

function endOf(kind: number): number {
  return (kind >> 2) & 3;
}

function withoutEnd(kind: number): number {
  return kind & ~0b1100;
}

function isOfRun(kind: number, stream: number): boolean {
  return (kind & 3) === stream && !BEFORE_RUN.has(PHASES[kind >> 4] ?? "running");
}

/** The parts of a hole that remain around the lines inserted into it. */
function leftOver(hole: Hole, found: readonly WireLine[]): Hole[] {
  const rest: Hole[] = [];
  let next = hole.from;
  found.forEach(([seq], n) => {
    if (seq > next) rest.push({ at: hole.at + n, from: next, to: seq, kind: "missing" });
    next = seq + 1;
  });
  if (next < hole.to) rest.push({ at: hole.at + found.length, from: next, to: hole.to, kind: "missing" });
  return rest;
}
