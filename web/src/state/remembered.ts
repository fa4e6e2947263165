/** Small choices (yes or no) of a person, kept by the browser where it keeps anything; a frame may be refused that. */

import { type Signal, signal } from "@preact/signals";

export function remembered(name: string, otherwise: boolean): Signal<boolean> {
  const key = `asman.${name}`;
  const made = signal(read(key, otherwise));
  let first = true;
  made.subscribe((value) => {
    if (first) {
      first = false;
      return;
    }
    try {
      localStorage.setItem(key, JSON.stringify(value));
    } catch {
      // Then it lasts as long as the page.
    }
  });
  return made;
}

function read(key: string, otherwise: boolean): boolean {
  try {
    const value = JSON.parse(localStorage.getItem(key) ?? "null") as unknown;
    return typeof value === "boolean" ? value : otherwise;
  } catch {
    return otherwise;
  }
}
