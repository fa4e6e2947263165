/**
 * The log of one job, in order and each line once.
 *
 * Lines come by their absolute seq: what is older than the next expected one is a repeat, unless it fills a hole. A
 * hole is never passed over in silence: it is either fetched or shown.
 */

import { type Signal, signal } from "@preact/signals";
import type { Phase, WireLine } from "../protocol/messages";

export interface Line {
  readonly seq: number;
  readonly time: number;
  readonly stream: number;
  readonly text: string;
  readonly phase: Phase;
}

/** Lines from `from` up to, not including, `to` that are not here. */
export interface Hole {
  readonly from: number;
  readonly to: number;
  /** `missing`: may still be fetched; `lost`: the hub keeps them no more; `left`: this page held them and let go. */
  readonly kind: "missing" | "lost" | "left";
}

/** A piece of the log that is drawn as one and does not change once it is full. */
export interface Chunk {
  readonly key: number;
  readonly before: Hole | null;
  readonly lines: readonly Line[];
}

const CHUNK_LINES = 200;
/** Most lines kept on the page; older ones leave it, and it says so. */
const KEPT_CHUNKS = 100;

export class JobLog {
  readonly chunks: Signal<readonly Chunk[]> = signal([]);
  /** The seq of the next line to come. */
  readonly next: Signal<number> = signal(0);

  #chunks: Chunk[] = [];

  /** How many lines are held. */
  get held(): number {
    return this.#chunks.reduce((sum, chunk) => sum + chunk.lines.length, 0);
  }

  /** Forgets everything: a new run of the job begins at this seq. */
  reset(start = 0): void {
    this.#chunks = [];
    this.next.value = start;
    this.chunks.value = [];
  }

  /** Passes over the lines of earlier runs: they are not missing, they are not this run's. */
  begin(start: number): void {
    if (this.#chunks.length === 0 && this.next.peek() < start) this.next.value = start;
  }

  /**
   * Takes lines in order.
   *
   * @param gap the seq up to which lines before these are no longer kept by the hub.
   */
  add(lines: readonly WireLine[], gap: number | null = null): void {
    let tail: Line[] | null = null;
    const close = () => {
      if (tail === null) return;
      const last = this.#chunks.pop() as Chunk;
      this.#chunks.push({ ...last, lines: [...last.lines, ...tail] });
      tail = null;
    };
    let next = this.next.value;
    const late: Line[] = [];
    for (const wire of lines) {
      const line = lineFrom(wire);
      if (line.seq < next) {
        late.push(line);
        continue;
      }
      const last = this.#chunks.at(-1);
      const held = (last?.lines.length ?? 0) + (tail?.length ?? 0);
      if (last === undefined || line.seq > next || held >= CHUNK_LINES) {
        close();
        const kind = gap !== null && gap >= line.seq ? "lost" : "missing";
        const before: Hole | null = line.seq > next ? { from: next, to: line.seq, kind } : null;
        this.#chunks.push({ key: line.seq, before, lines: [] });
      }
      tail ??= [];
      tail.push(line);
      next = line.seq + 1;
    }
    close();
    if (late.length > 0) this.#fill(late);
    if (this.#chunks.length > KEPT_CHUNKS) this.#letGo();
    this.next.value = next;
    this.chunks.value = [...this.#chunks];
  }

  /** The first hole that may still be fetched. */
  hole(): Hole | null {
    return this.#chunks.find((chunk) => chunk.before?.kind === "missing")?.before ?? null;
  }

  /** Marks what is still missing in a range as gone for good: the hub was asked and has it not. */
  lose(from: number, to: number): void {
    this.#chunks = this.#chunks.map((chunk) =>
      chunk.before?.kind === "missing" && chunk.before.from >= from && chunk.before.to <= to
        ? { ...chunk, before: { ...chunk.before, kind: "lost" } }
        : chunk,
    );
    this.chunks.value = this.#chunks;
  }

  /** Puts lines into the holes that they belong to; repeats fall away. */
  #fill(late: readonly Line[]): void {
    const holes = this.#chunks.flatMap((chunk) => (chunk.before?.kind === "missing" ? [chunk.before] : []));
    const missing = late.filter((line) => holes.some((hole) => line.seq >= hole.from && line.seq < hole.to));
    if (missing.length === 0) return;
    const known = new Map(this.#chunks.flatMap((chunk) => (chunk.before === null ? [] : [[chunk.before.to, chunk.before.kind]])));
    const bySeq = new Map<number, Line>();
    const first = this.#chunks[0]?.before?.from ?? this.#chunks[0]?.lines[0]?.seq ?? 0;
    for (const chunk of this.#chunks) for (const line of chunk.lines) bySeq.set(line.seq, line);
    for (const line of missing) bySeq.set(line.seq, line);
    const all = [...bySeq.values()].sort((a, b) => a.seq - b.seq);
    this.#chunks = chunked(all, first, known);
  }

  #letGo(): void {
    const kept = this.#chunks.slice(-KEPT_CHUNKS);
    const [head, ...rest] = kept as [Chunk, ...Chunk[]];
    const from = this.#chunks[0]?.before?.from ?? this.#chunks[0]?.lines[0]?.seq ?? 0;
    const to = head.lines[0]?.seq ?? 0;
    this.#chunks = [{ ...head, before: { from, to, kind: "left" } }, ...rest];
  }
}

function lineFrom([seq, time, stream, text, phase]: WireLine): Line {
  return { seq, time, stream, text, phase: phase ?? "running" };
}

function chunked(lines: readonly Line[], first: number, known: ReadonlyMap<number, Hole["kind"]>): Chunk[] {
  const chunks: Chunk[] = [];
  let next = first;
  let open: Line[] = [];
  for (const line of lines) {
    if (chunks.length === 0 || line.seq > next || open.length >= CHUNK_LINES) {
      open = [];
      const before = line.seq > next ? { from: next, to: line.seq, kind: known.get(line.seq) ?? ("missing" as const) } : null;
      chunks.push({ key: line.seq, before, lines: open });
    }
    open.push(line);
    next = line.seq + 1;
  }
  return chunks;
}
