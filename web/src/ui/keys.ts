/** What keys do, in one place: who offers an action says its key, and the help lists what works now. */

import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { remembered } from "../state/remembered";

export interface Key {
  /** As `KeyboardEvent.key` has it; with `ctrl` for Ctrl or Cmd. */
  key: string;
  ctrl?: boolean;
  says: string;
  act: () => void;
}

/** The keys that work now. */
export const keys = signal<readonly Key[]>([]);
/** Whether single letters are shortcuts; who speaks to the machine may not want that. */
export const lettersOn = remembered("letters", true);

/** Offers keys as long as the component is there. */
export function useKeys(offered: readonly Key[]): void {
  const newest = useRef(offered);
  newest.current = offered;
  const names = offered.map(({ key, ctrl, says }) => `${key} ${ctrl} ${says}`).join("\n");
  // At once: a key that is shown works.
  useLayoutEffect(() => {
    const mine = newest.current.map((each, at) => ({ ...each, act: () => newest.current[at]?.act() }));
    keys.value = [...keys.peek(), ...mine];
    return () => {
      keys.value = keys.peek().filter((each) => !mine.includes(each));
    };
  }, [names]);
}

/** Listens to the keyboard; returns what ends it. */
export function startKeys(): () => void {
  const pressed = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.altKey) return;
    const ctrl = event.ctrlKey || event.metaKey;
    if (!ctrl && (!lettersOn.peek() || writes(event.target))) return;
    if (ctrl && writesText(event.target)) return;
    if (document.querySelector("dialog[open]") !== null) return;
    const found = keys.peek().findLast((each) => each.key === event.key && (each.ctrl ?? false) === ctrl);
    if (found === undefined) return;
    event.preventDefault();
    found.act();
  };
  document.addEventListener("keydown", pressed);
  return () => document.removeEventListener("keydown", pressed);
}

/** Where letters are written, or choose something. */
function writes(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable]") !== null;
}

/** Where the browser's own undo belongs to the text. */
function writesText(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("textarea, [contenteditable]") !== null;
}
