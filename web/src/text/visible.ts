/** Splits a text of a stranger into what can be seen as it is, and characters that could make it look like another text. */

export interface Part {
  /** A text to show as it is, or the name of a character. */
  readonly text: string;
  /** Whether the text is the name of a character that can't be seen, or that moves others. */
  readonly mark: boolean;
}

/** Control characters, characters that change the direction of others, blanks that are no space, and those without a form. */
const HIDDEN = /[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/u;
const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", " ": "space" };
/** Length of the longest run of spaces that is shown as it is; a longer one could push the rest out of sight. */
const SPACES = 16;

/** Splits a text; the parts together, with the characters that the marks name, are the text. */
export function visibleParts(text: string): Part[] {
  const parts: Part[] = [];
  const add = (part: string, mark: boolean) => {
    const last = parts.at(-1);
    if (last !== undefined && !mark && !last.mark) parts[parts.length - 1] = { text: last.text + part, mark };
    else parts.push({ text: part, mark });
  };
  const signs = [...text];
  for (let at = 0; at < signs.length; ) {
    const sign = signs[at] ?? "";
    let end = at + 1;
    while (signs[end] === sign) end += 1;
    const run = end - at;
    at = end;
    const blanks = sign === " " && run <= SPACES;
    if (blanks || (sign !== " " && !HIDDEN.test(sign))) {
      add(sign.repeat(run), false);
      continue;
    }
    const name = SHORT[sign] ?? `U+${(sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
    add(run === 1 ? name : `${name} × ${run}`, true);
    // A line end is named, and it also ends the line; many of them end only one.
    if (sign === "\n") add("\n", false);
  }
  return parts;
}
