/** Renders Markdown as a whole HTML page, for a frame without scripts. */

import { marked } from "marked";

const STYLE = `
:root { color-scheme: light dark }
body { margin: 12px 16px; font: 14px/1.55 system-ui, sans-serif; overflow-wrap: anywhere }
pre, code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 12.5px }
pre { padding: 8px 10px; overflow: auto; border: 1px solid #8884; border-radius: 6px }
table { border-collapse: collapse } td, th { padding: 3px 10px; border: 1px solid #8886 } img { max-width: 100% }`;

/** What the page may load: nothing but what the text itself contains. Pictures at addresses are not loaded. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:";
/** Elements that make a browser connect or go somewhere though the policy lets nothing load. */
const LEADING = "link, meta, base";

/** Renders a text as a page that asks no other machine for anything until a person follows a link. */
export function pageOf(text: string): string {
  const found = new DOMParser().parseFromString(marked.parse(text, { async: false, gfm: true }), "text/html");
  for (const element of found.querySelectorAll(LEADING)) element.remove();
  const policy = `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`;
  return `<!doctype html><meta charset="utf-8">${policy}<style>${STYLE}</style>${found.body.innerHTML}`;
}
