/** Keyboard shortcuts: components register their keys, and the help dialog lists the active ones. */

import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { remembered } from "../state/remembered";

export interface Key {
  /** The value of `KeyboardEvent.key`; with `ctrl`, together with Ctrl or Cmd. */
  key: string;
  ctrl?: boolean;
  says: string;
  act: () => void;
}

/** The active keyboard shortcuts. */
export const keys = signal<readonly Key[]>([]);
/** Whether single letters are shortcuts; users of speech input may need to turn them off. */
export const lettersOn = remembered("letters", true);

/** Registers keys as long as the component is mounted. */
export function useKeys(offered: readonly Key[]): void {
  const newest = useRef(offered);
  newest.current = offered;
  const names = offered.map(({ key, ctrl, says }) => `${key} ${ctrl} ${says}`).join("\n");
  // A layout effect, so that a shortcut works as soon as it is shown.
  useLayoutEffect(() => {
    const mine = newest.current.map((each, at) => ({ ...each, act: () => newest.current[at]?.act() }));
    keys.value = [...keys.peek(), ...mine];
    return () => {
      keys.value = keys.peek().filter((each) => !mine.includes(each));
    };
  }, [names]);
}

/** Listens to the keyboard; returns a function that stops it. */
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

/** Whether an element takes letters, as input or to choose an option. */
function writes(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable]") !== null;
}

/** Whether an element has the browser's own undo. */
function writesText(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("textarea, [contenteditable]") !== null;
}
