/** Tells what a person typed into an editor, and comes back to it late, from a text that somebody else set. */

/** Time after which a text that was typed and never came back is expected no more, in milliseconds. */
const LATE_MS = 2000;

/**
 * The text of an editor whose keeper is told of each change and shows its text again, perhaps after more was typed.
 *
 * An editor that took such an older text would lose what was typed since.
 */
export class Typed {
  #shown: string;
  #sent: { text: string; at: number }[] = [];

  constructor(shown: string) {
    this.#shown = shown;
  }

  /** Notes a text that a person made and the keeper is told of. */
  wrote(text: string, now = Date.now()): void {
    this.#shown = text;
    this.#sent.push({ text, at: now });
  }

  /** Whether the editor must take the keeper's text; it is taken as shown from then on. */
  isNews(text: string, now = Date.now()): boolean {
    this.#sent = this.#sent.filter(({ at }) => now - at < LATE_MS);
    const at = this.#sent.findIndex((each) => each.text === text);
    if (at >= 0) {
      this.#sent.splice(0, at + 1);
      return false;
    }
    if (text === this.#shown) return false;
    this.#shown = text;
    this.#sent = [];
    return true;
  }
}
