/** Moving between pages without loading anything, and with a back button that works. */

import { signal } from "@preact/signals";
import { parseRoute, type Route } from "../route";

/** Whether this page stands in another one. */
export const embedded: boolean = inFrame();

export const route = signal<Route>(parseRoute(location, embedded));

/** Where each page was scrolled to when it was left, by its address. */
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

export function go(href: string): void {
  scrolls.set(here, window.scrollY);
  history.pushState(null, "", href);
  moved(0);
  // The page that holds this one hears of new parameters by this event, which scripts must raise themselves.
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

/**
 * Writes what was edited into the address, at the same place of the page.
 *
 * @param push whether the back button leads to what was before.
 */
export function rewrite(href: string, push: boolean): void {
  if (new URL(href, location.href).href === location.href) return;
  if (push) history.pushState(null, "", href);
  else history.replaceState(history.state, "", href);
  moved(null);
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

/** For links: goes there at once, unless the person wants another tab or window. */
export function follow(event: MouseEvent, href: string): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(href);
}
