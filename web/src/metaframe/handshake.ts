/**
 * The request of a frame to its parent page, repeated until the parent answers: a parent that loads after the frame has
 * not heard the first one.
 */

/** The part of a frame that asks. */
export interface Asking {
  isConnected(): boolean;
  /** Sends the request once. */
  ask(): void;
}

/** Pause before the first repetition, in milliseconds. */
export const FIRST_MS = 200;
/** Longest pause between two repetitions, in milliseconds. */
export const MOST_MS = 5000;

/** Repeats the request with growing pauses; returns a function that ends this. */
export function askUntilAnswered(frame: Asking): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const repeatIn = (pause: number) => {
    timer = setTimeout(() => {
      if (frame.isConnected()) return;
      frame.ask();
      repeatIn(Math.min(2 * pause, MOST_MS));
    }, pause);
  };
  repeatIn(FIRST_MS);
  return () => clearTimeout(timer);
}
