/** Parses durations as people write them, by the same strict rules as the hub. */

const DURATION = /^(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,3})?)s)?(?:(\d{1,12})ms)?$/;
const MS = [86_400_000, 3_600_000, 60_000, 1000, 1];

/** Parses `20m`, `1h30m`, `1.5s` or `250ms` into milliseconds; null when the text is not a duration. */
export function parseDuration(text: string): number | null {
  const parts = DURATION.exec(text.trim())?.slice(1);
  if (parts === undefined || parts.every((part) => part === undefined)) return null;
  return Math.floor(parts.reduce((sum, part, at) => sum + Number(part ?? 0) * (MS[at] ?? 0), 0));
}
