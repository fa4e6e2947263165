/** Waiting times between attempts to connect: doubling, with jitter, so that many pages do not return at once. */

export interface BackoffOptions {
  /** Longest wait before the first attempt, in milliseconds. */
  first: number;
  /** Longest wait before any attempt, in milliseconds. */
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

  /** The next waiting time, in milliseconds; each call counts as one attempt. */
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
