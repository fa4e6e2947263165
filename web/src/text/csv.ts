/** Parses the first rows of CSV (RFC 4180), and guesses the separator. */

/**
 * Parses the rows of a CSV text.
 *
 * @param most Most rows to read.
 */
export function readCsv(text: string, most: number, separator = guessSeparator(text)): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = "";
  let quoted = false;
  const endRow = () => {
    row.push(cell);
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
    cell = "";
  };
  for (let at = 0; at < text.length && rows.length < most; at++) {
    const letter = text[at] as string;
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text[at + 1] === '"') {
        cell += '"';
        at += 1;
      } else quoted = false;
    } else if (letter === '"' && cell === "") quoted = true;
    else if (letter === separator) {
      row.push(cell);
      cell = "";
    } else if (letter === "\n") endRow();
    else if (letter !== "\r") cell += letter;
  }
  if (rows.length < most && (cell !== "" || row.length > 0)) endRow();
  return rows;
}

function guessSeparator(text: string): string {
  const line = text.slice(0, text.indexOf("\n") < 0 ? 2000 : text.indexOf("\n"));
  const counts = [",", "\t", ";", "|"].map((letter) => [letter, line.split(letter).length] as const);
  return counts.reduce((best, each) => (each[1] > best[1] ? each : best))[0];
}
