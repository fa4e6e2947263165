/** Once per animation frame: what is pushed a thousand times a second is shown at the pace of the screen. */

export type Schedule = (work: () => void) => void;

/** A hidden page has no frames, but its title and state still move on. */
const HIDDEN_MS = 250;

/** Runs `work` at the next animation frame, or a little later when the page is hidden. */
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

/** Gathers items and hands them over together, at most once per frame and in the order they came. */
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

  /** Hands over what is there now; an answer must not overtake what was pushed before it. */
  flush(): void {
    this.#scheduled = false;
    if (this.#items.length === 0) return;
    const items = this.#items;
    this.#items = [];
    this.apply(items);
  }
}
