/** The icon of the page's tab, with a dot in the colour of a state. */

import type { Tone } from "../text/words";

const COLOURS: Readonly<Record<Tone, string>> = {
  waiting: "#8a8f98",
  active: "#f2b705",
  good: "#2da44e",
  bad: "#d1242f",
  warn: "#e07b00",
  quiet: "#8a8f98",
};

const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
/** The address of the plain icon, absolute, as a relative one would change its meaning with the address of the page. */
const plain = link?.href ?? "";
if (link !== null) link.href = plain;

/** Shows a state in the icon; null for the plain icon. */
export function showIcon(tone: Tone | null): void {
  if (link === null) return;
  const href = tone === null ? plain : `data:image/svg+xml,${encodeURIComponent(drawn(COLOURS[tone]))}`;
  if (link.href !== href) link.href = href;
  link.dataset["tone"] = tone ?? "";
}

function drawn(colour: string): string {
  return (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#1f5fbf"/>' +
    '<path d="M7 24 16 7l9 17" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round" stroke-linejoin="round"/>' +
    `<circle cx="23" cy="23" r="8" fill="${colour}" stroke="#fff" stroke-width="2"/></svg>`
  );
}
