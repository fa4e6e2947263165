/** Renders Markdown as a whole HTML page, for a frame without scripts. */

import { marked } from "marked";

const STYLE = `
:root { color-scheme: light dark }
body { margin: 12px 16px; font: 14px/1.55 system-ui, sans-serif; overflow-wrap: anywhere }
pre, code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 12.5px }
pre { padding: 8px 10px; overflow: auto; border: 1px solid #8884; border-radius: 6px }
table { border-collapse: collapse } td, th { padding: 3px 10px; border: 1px solid #8886 } img { max-width: 100% }`;

export function pageOf(text: string): string {
  return `<!doctype html><meta charset="utf-8"><style>${STYLE}</style>${marked.parse(text, { async: false, gfm: true })}`;
}
