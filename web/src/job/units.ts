/** Durations as people write them, read as strictly as the hub reads them. */

const DURATION = /^(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,3})?)s)?(?:(\d{1,12})ms)?$/;
const MS = [86_400_000, 3_600_000, 60_000, 1000, 1];

/** Milliseconds from `20m`, `1h30m`, `1.5s` or `250ms`; null when it can't be read without guessing. */
export function parseDuration(text: string): number | null {
  const parts = DURATION.exec(text.trim())?.slice(1);
  if (parts === undefined || parts.every((part) => part === undefined)) return null;
  return Math.floor(parts.reduce((sum, part, at) => sum + Number(part ?? 0) * (MS[at] ?? 0), 0));
}
