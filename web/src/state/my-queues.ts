/** The queues that were opened in this browser, which keeps them; no hub is told. */

import { type Signal, signal } from "@preact/signals";

/** Most queues that are kept; the one opened longest ago goes first. */
export const MOST_QUEUES = 30;
const KEY = "asman.queues";
/** Longest URL of a queue that is kept. */
const LONGEST = 1000;

/** The queues' URLs, the last opened one first. */
export const myQueues: Signal<readonly string[]> = signal(read());

export function rememberQueue(url: string): void {
  if (url.length > LONGEST) return;
  write([url, ...read().filter((each) => each !== url)].slice(0, MOST_QUEUES));
}

/** Forgets a queue; returns the function that puts it back where it was. */
export function forgetQueue(url: string): () => void {
  const before = read();
  write(before.filter((each) => each !== url));
  return () => {
    const now = read().filter((each) => each !== url);
    // Those that other tabs opened meanwhile stay in front.
    const newer = now.filter((each) => !before.includes(each));
    const older = before.filter((each) => each === url || now.includes(each));
    write([...newer, ...older].slice(0, MOST_QUEUES));
  };
}

/** Reads what is stored, which another tab may have changed; anything else that stands there is left out. */
function read(): string[] {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]") as unknown;
    if (!Array.isArray(found)) return [];
    return found.filter((each): each is string => typeof each === "string" && /^https?:\/\//.test(each) && each.length <= LONGEST).slice(0, MOST_QUEUES);
  } catch {
    return [];
  }
}

function write(urls: readonly string[]): void {
  myQueues.value = urls;
  try {
    localStorage.setItem(KEY, JSON.stringify(urls));
  } catch {
    // Without storage they last as long as the page.
  }
}
