/** Yes-or-no choices of a person, stored by the browser if it allows that; a frame may not. */

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
      // Without storage the choice lasts as long as the page.
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
