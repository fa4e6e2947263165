/** The hub's clock as this page knows it: durations tick by it, whatever this machine believes the time is. */

import { signal } from "@preact/signals";

let offset = 0;

/** The hub's time in epoch milliseconds, moving once a second while someone watches. */
export const now = signal(Date.now());

/** Sets the clock by the time that a welcome carries. */
export function setHubTime(time: number): void {
  const found = time - Date.now();
  // Less than a network's delay is no difference.
  offset = Math.abs(found) < 1500 ? 0 : found;
  now.value = Date.now() + offset;
}

/** The hub's time at this moment. */
export function hubNow(): number {
  return Date.now() + offset;
}

/** Starts the ticking; returns what stops it. */
export function startClock(): () => void {
  const timer = setInterval(() => {
    if (!document.hidden) now.value = hubNow();
  }, 1000);
  const seen = () => {
    now.value = hubNow();
  };
  document.addEventListener("visibilitychange", seen);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", seen);
  };
}
