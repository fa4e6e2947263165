/** Parses terminal colours in log lines into text and styles (ECMA-48, SGR). */

/** A colour: an index into the 16 colours of the theme, or `#rrggbb`. */
export type Colour = number | string;

export interface Style {
  readonly fg?: Colour;
  readonly bg?: Colour;
  readonly bold?: boolean;
  readonly dim?: boolean;
  readonly italic?: boolean;
  readonly underline?: boolean;
  readonly strike?: boolean;
  readonly inverse?: boolean;
}

export interface Span {
  readonly text: string;
  readonly style: Style;
}

export const PLAIN: Style = Object.freeze({});

// CSI and OSC sequences, and two-byte escapes.
const ESCAPE = /\u001b(?:\[([0-?]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;

/** The line without escapes and without text that a carriage return overwrote. */
export function plainText(text: string): string {
  return lastWritten(text.includes("\u001b") ? text.replace(ESCAPE, "") : text);
}

function lastWritten(text: string): string {
  return text.includes("\r") ? text.replace(/\r+$/, "").replace(/^.*\r/s, "") : text;
}

/** The style in effect at the end of a line that began with `start`. */
export function styleAfter(text: string, start: Style): Style {
  if (!text.includes("\u001b")) return start;
  let style = start;
  for (const match of text.matchAll(ESCAPE)) if (match[2] === "m") style = select(style, match[1] ?? "");
  return style;
}

/** Splits a line into pieces of one style each. */
export function spans(text: string, start: Style): Span[] {
  const line = lastWritten(text);
  if (!line.includes("\u001b")) return line === "" ? [] : [{ text: line, style: start }];
  const found: Span[] = [];
  let style = start;
  let at = 0;
  for (const match of line.matchAll(ESCAPE)) {
    if (match.index > at) found.push({ text: line.slice(at, match.index), style });
    at = match.index + match[0].length;
    if (match[2] === "m") style = select(style, match[1] ?? "");
  }
  if (at < line.length) found.push({ text: line.slice(at), style });
  return found;
}

/** Applies the numbers of one SGR sequence. */
function select(before: Style, numbers: string): Style {
  const codes = numbers.split(/[;:]/).map((text) => (text === "" ? 0 : Number(text)));
  let style: { -readonly [K in keyof Style]: Style[K] } = { ...before };
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at] as number;
    if (code === 0) style = {};
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 7) style.inverse = true;
    else if (code === 9) style.strike = true;
    else if (code === 22) {
      delete style.bold;
      delete style.dim;
    } else if (code === 23) delete style.italic;
    else if (code === 24) delete style.underline;
    else if (code === 27) delete style.inverse;
    else if (code === 29) delete style.strike;
    else if (code >= 30 && code <= 37) style.fg = code - 30;
    else if (code >= 90 && code <= 97) style.fg = code - 82;
    else if (code >= 40 && code <= 47) style.bg = code - 40;
    else if (code >= 100 && code <= 107) style.bg = code - 92;
    else if (code === 39) delete style.fg;
    else if (code === 49) delete style.bg;
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes.slice(at + 1));
      if (colour !== null) style[code === 38 ? "fg" : "bg"] = colour;
      at += used;
    }
  }
  return style;
}

/** A colour of the 256 (`5;n`) or a true colour (`2;r;g;b`), and the count of numbers read. */
function extended(codes: readonly number[]): [Colour | null, number] {
  if (codes[0] === 5) return [indexed(codes[1] ?? 0), 2];
  if (codes[0] === 2) return [hex(codes[1] ?? 0, codes[2] ?? 0, codes[3] ?? 0), 4];
  return [null, 1];
}

function indexed(n: number): Colour {
  if (n < 16) return n;
  if (n >= 232) {
    const grey = 8 + (n - 232) * 10;
    return hex(grey, grey, grey);
  }
  const level = (of: number) => (of === 0 ? 0 : 55 + of * 40);
  const cube = n - 16;
  return hex(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function hex(...channels: number[]): string {
  return `#${channels.map((n) => Math.min(255, Math.max(0, n | 0)).toString(16).padStart(2, "0")).join("")}`;
}
