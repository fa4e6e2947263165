/** Searches a log in slices, so that the page stays responsive; includes lines that arrive later. */

import { type Signal, signal } from "@preact/signals";
import type { JobLog } from "./job-log";
import { plainText } from "./ansi";

/** Lines searched in one slice, which takes a few milliseconds. */
const SLICE = 20_000;

export class LogSearch {
  /** Indexes of the matching lines, in order. */
  readonly found: Signal<readonly number[]> = signal([]);
  /** Whether lines are left to search. */
  readonly busy: Signal<boolean> = signal(false);
  /** The pattern searched for; null when there is no search. */
  pattern: RegExp | null = null;

  #found: number[] = [];
  #looked = 0;
  #edits = -1;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly log: JobLog) {}

  /** Starts a search for other words; an empty text ends it. */
  look(words: string): void {
    this.pattern = words === "" ? null : new RegExp(words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
    this.#restart();
    this.more();
  }

  /** Searches the next slice of lines, from where the last one ended. */
  more(): void {
    clearTimeout(this.#timer);
    const { pattern, log } = this;
    if (pattern === null) {
      this.busy.value = false;
      return;
    }
    if (this.#edits !== log.edits) this.#restart();
    const end = Math.min(log.length, this.#looked + SLICE);
    for (let at = this.#looked; at < end; at++) {
      pattern.lastIndex = 0;
      if (pattern.test(plainText(log.text(at)))) this.#found.push(at);
    }
    if (this.#found.length !== this.found.peek().length) this.found.value = [...this.#found];
    this.#looked = end;
    this.busy.value = end < log.length;
    if (end < log.length) this.#timer = setTimeout(() => this.more(), 0);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #restart(): void {
    this.#edits = this.log.edits;
    this.#looked = 0;
    this.#found = [];
    this.found.value = [];
  }
}
