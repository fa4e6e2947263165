/**
 * Lines that ended in a carriage return and were overwritten by the next one: a progress bar has many of them.
 *
 * They are kept apart from the lines of the view, in order, and only up to a bound: past it the oldest are dropped.
 */

export interface OldLine {
  readonly seq: number;
  readonly time: number;
  readonly text: string;
  /** Stream, end and phase, as `JobLog` packs them. */
  readonly kind: number;
}

/** Most overwritten lines that are kept of one log, and most characters of them; as in the hub's `result.json`. */
export const OLD_LINES = 50_000;
export const OLD_CHARACTERS = 4 * 1024 * 1024;

export class Overwritten {
  #lines: OldLine[] = [];
  #size = 0;

  get length(): number {
    return this.#lines.length;
  }

  at(at: number): OldLine {
    return this.#lines[at] as OldLine;
  }

  /** Adds the newest line. */
  add(line: OldLine): void {
    this.#lines.push(line);
    this.#size += line.text.length;
    if (this.#lines.length > OLD_LINES || this.#size > OLD_CHARACTERS) this.#letGo();
  }

  /** Drops the lines below a seq. */
  dropBefore(seq: number): void {
    const kept = this.#lines.findIndex((line) => line.seq >= seq);
    this.#drop(kept < 0 ? this.#lines.length : kept);
  }

  clear(): void {
    this.#drop(this.#lines.length);
  }

  /** Drops the oldest tenth and more, so that a bound costs no copy for each line. */
  #letGo(): void {
    let count = 0;
    let size = this.#size;
    while (this.#lines.length - count > OLD_LINES * 0.9 || size > OLD_CHARACTERS * 0.9) {
      size -= this.at(count).text.length;
      count += 1;
    }
    this.#drop(count);
  }

  #drop(count: number): void {
    for (let at = 0; at < count; at++) this.#size -= this.at(at).text.length;
    this.#lines = this.#lines.slice(count);
  }
}
