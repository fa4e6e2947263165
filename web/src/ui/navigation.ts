/** Navigation between pages without reloading, with a working back button. */

import { signal } from "@preact/signals";
import { parseRoute, type Route } from "../route";

/** Whether this page is in a frame of another page. */
export const embedded: boolean = inFrame();

/** Whether this hub has a queue of its machine, with a worker, which it serves under the name `local`. */
export const servesLocal: boolean = document.querySelector('meta[name="asman-serves-local"]') !== null;

/**
 * Whether no job runs here without a click on Run: the hub serves the queue `local`, which every page in the visitor's
 * browser can name, and no page that the hub's operator allows has embedded this one.
 */
export const clickToRun: boolean = !embedded && servesLocal;

export const route = signal<Route>(parseRoute(location, embedded));

/** Scroll positions of pages that were left, by URL. */
const scrolls = new Map<string, number>();
let here = location.href;

function inFrame(): boolean {
  try {
    return window.self !== window.top;
  } catch {
    return true;
  }
}

function moved(scroll: number | null): void {
  here = location.href;
  route.value = parseRoute(location, embedded);
  if (scroll !== null) requestAnimationFrame(() => window.scrollTo(0, scroll));
}

history.scrollRestoration = "manual";
window.addEventListener("popstate", () => {
  if (location.href === here) return;
  scrolls.set(here, window.scrollY);
  moved(scrolls.get(location.href) ?? 0);
});

/** Goes to another page. */
export function go(href: string): void {
  scrolls.set(here, window.scrollY);
  history.pushState(null, "", href);
  moved(0);
  // The parent page learns of new parameters by this event, which `pushState` does not raise.
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

/**
 * Replaces the URL after an edit, without scrolling.
 *
 * @param push Whether the back button leads to the previous URL.
 */
export function rewrite(href: string, push: boolean): void {
  if (new URL(href, location.href).href === location.href) return;
  if (push) history.pushState(null, "", href);
  else history.replaceState(history.state, "", href);
  moved(null);
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

/** Handles a click on a link to a place on this page, which is not scrolled to its top. */
export function stay(event: MouseEvent, href: string): void {
  if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  rewrite(href, true);
}

/** Handles a click on a link, unless the click opens another tab or window. */
export function follow(event: MouseEvent, href: string): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(href);
}
