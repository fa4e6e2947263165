/** The hub's clock, by which durations are shown; this machine's clock may be wrong. */

import { signal } from "@preact/signals";

let offset = 0;

/** The hub's time in milliseconds since the epoch, updated once a second while the page is visible. */
export const now = signal(Date.now());

/** Sets the clock to the time in a welcome. */
export function setHubTime(time: number): void {
  const found = time - Date.now();
  // A small difference may be network delay only.
  offset = Math.abs(found) < 1500 ? 0 : found;
  now.value = Date.now() + offset;
}

/** The hub's current time, in milliseconds since the epoch. */
export function hubNow(): number {
  return Date.now() + offset;
}

/** Starts the clock; returns a function that stops it. */
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
