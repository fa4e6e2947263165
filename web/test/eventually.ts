/** Waiting in tests. */

import { vi } from "vitest";

/** Longest time that a test waits for what must happen, in milliseconds: long, because a machine may be busy. */
export const PATIENCE = 60_000;

/** Checks again and again until nothing is thrown; returns what the check returns. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: PATIENCE, interval: 20 });
}
