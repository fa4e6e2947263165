/** Moving between pages of the same queue without loading anything, and with a back button that works. */

import { signal } from "@preact/signals";
import { parseRoute, type Route } from "../route";

export const route = signal<Route>(parseRoute(location));

/** Where each page was scrolled to when it was left, by its address. */
const scrolls = new Map<string, number>();
let here = location.href;

function moved(scroll: number): void {
  here = location.href;
  route.value = parseRoute(location);
  requestAnimationFrame(() => window.scrollTo(0, scroll));
}

history.scrollRestoration = "manual";
window.addEventListener("popstate", () => {
  scrolls.set(here, window.scrollY);
  moved(scrolls.get(location.href) ?? 0);
});

export function go(href: string): void {
  scrolls.set(here, window.scrollY);
  history.pushState(null, "", href);
  moved(0);
}

/** For links: goes there at once, unless the person wants another tab or window. */
export function follow(event: MouseEvent, href: string): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(href);
}
