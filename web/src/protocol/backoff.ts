/** How long to wait before the next attempt: doubling, with full jitter, so that many pages do not return at once. */

export interface BackoffOptions {
  /** The longest first wait, in milliseconds. */
  first: number;
  /** The longest wait of all, in milliseconds. */
  most: number;
  random: () => number;
}

export class Backoff {
  #attempts = 0;
  readonly #options: BackoffOptions;

  constructor(options: Partial<BackoffOptions> = {}) {
    this.#options = { first: 500, most: 15_000, random: Math.random, ...options };
  }

  /** Attempts since the last success. */
  get attempts(): number {
    return this.#attempts;
  }

  /** Milliseconds to wait now; each call counts as one more attempt. */
  next(): number {
    const { first, most, random } = this.#options;
    const ceiling = Math.min(most, first * 2 ** Math.min(this.#attempts, 20));
    this.#attempts += 1;
    return Math.round(ceiling * (0.3 + 0.7 * random()));
  }

  succeeded(): void {
    this.#attempts = 0;
  }
}
