/** The problem with a request, as long as there is something to do about it. */

import { type Signal, signal } from "@preact/signals";
import { NotSent, sentence } from "../protocol/errors";

export class Problem {
  /** The problem in a sentence; null without one. */
  readonly words: Signal<string | null> = signal(null);
  #unsent = false;

  /** Shows a sentence; null shows none. */
  say(words: string | null): void {
    this.#unsent = false;
    this.words.value = words;
  }

  /** Shows an error, behind some words about what it is the reason for. */
  tell(error: unknown, before = ""): void {
    this.say(before + sentence(error));
    this.#unsent = error instanceof NotSent;
  }

  /** Takes back that the hub can't be reached, because it can be now. Any other problem stays. */
  connected(): void {
    if (this.#unsent) this.say(null);
  }
}
