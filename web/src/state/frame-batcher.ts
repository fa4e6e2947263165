/** Batches updates, so that the page is redrawn at most once per animation frame however many messages arrive. */

export type Schedule = (work: () => void) => void;

/** Interval of updates on a hidden page, which has no animation frames, in milliseconds. */
const HIDDEN_MS = 250;

/** Runs `work` at the next animation frame, or after `HIDDEN_MS` on a hidden page. */
export const nextFrame: Schedule = (work) => {
  let done = false;
  const once = () => {
    if (done) return;
    done = true;
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    work();
  };
  const frame = requestAnimationFrame(once);
  const timer = setTimeout(once, HIDDEN_MS);
};

/** Collects items and passes them on in batches, in order and at most once per animation frame. */
export class FrameBatcher<T> {
  #items: T[] = [];
  #scheduled = false;

  constructor(
    private readonly apply: (items: T[]) => void,
    private readonly schedule: Schedule = nextFrame,
  ) {}

  push(items: readonly T[]): void {
    for (const item of items) this.#items.push(item);
    if (this.#scheduled || this.#items.length === 0) return;
    this.#scheduled = true;
    this.schedule(() => this.flush());
  }

  /** Passes on all items now. Called before an answer is used, as it must not overtake earlier pushes. */
  flush(): void {
    this.#scheduled = false;
    if (this.#items.length === 0) return;
    const items = this.#items;
    this.#items = [];
    this.apply(items);
  }
}
