/** Parses durations as people write them, by the same strict rules as the hub. */

const DURATION = /^(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,3})?)s)?(?:(\d{1,12})ms)?$/;
const MS = [86_400_000, 3_600_000, 60_000, 1000, 1];

/** Parses `20m`, `1h30m`, `1.5s` or `250ms` into milliseconds; null when the text is not a duration. */
export function parseDuration(text: string): number | null {
  const parts = DURATION.exec(text.trim())?.slice(1);
  if (parts === undefined || parts.every((part) => part === undefined)) return null;
  return Math.floor(parts.reduce((sum, part, at) => sum + Number(part ?? 0) * (MS[at] ?? 0), 0));
}

const PART = /(\d{1,15}(?:\.\d{1,9})?|\.\d{1,9})\s*([a-z]*)[\s,]*/gi;
const UNITS: ReadonlyMap<string, number> = new Map([
  ...["", "ms", "msec", "millisecond"].map((unit) => [unit, 1] as const),
  ...["s", "sec", "second"].map((unit) => [unit, 1000] as const),
  ...["m", "min", "minute"].map((unit) => [unit, 60_000] as const),
  ...["h", "hr", "hour"].map((unit) => [unit, 3_600_000] as const),
  ...["d", "day"].map((unit) => [unit, 86_400_000] as const),
  ...["w", "wk", "week"].map((unit) => [unit, 604_800_000] as const),
]);

/**
 * Writes a duration in the form that the hub reads: older links also have `10 min`, `1.5h`, `2 days` and numbers of
 * milliseconds. A value that is no duration is returned unchanged, so that it is refused with its reason.
 */
export function inNewForm(given: unknown): unknown {
  const text = typeof given === "number" ? String(given) : given;
  if (typeof text !== "string" || text.length > 64 || parseDuration(text) !== null) return text;
  const parts = [...text.matchAll(PART)];
  const size = (unit: string) => UNITS.get(unit) ?? UNITS.get(unit.replace(/s$/, ""));
  const sizes = parts.map((part) => size((part[2] ?? "").toLowerCase()));
  // Nobody who writes `20` means so few milliseconds.
  if (parts.some(([, number, unit]) => unit === "" && Number(number) < 1000)) return given;
  if (parts.length === 0 || sizes.includes(undefined) || text.trim().replace(PART, "") !== "") return given;
  const ms = Math.floor(0.5 + parts.reduce((sum, part, at) => sum + Number(part[1]) * (sizes[at] ?? 0), 0));
  return ms > 0 && ms < 1e12 ? `${ms}ms` : given;
}

/**
 * Parses a time limit into milliseconds.
 *
 * @throws {Error} It is no duration, or zero, which is no limit; the message says why.
 */
export function timeLimit(sent: unknown): number {
  const given = inNewForm(sent);
  if (typeof given !== "string") throw new Error("it must be a text such as “20m”");
  const ms = given.trim() === "" ? 0 : parseDuration(given);
  if (ms === null) throw new Error(`“${given}” is not a duration; write it as 90s, 20m or 1h30m`);
  const shown = given.trim() === "" ? "an empty text" : `“${given}”`;
  if (ms === 0) throw new Error(`${shown} is no time limit, which has at least 1 ms; leave it out for no limit`);
  return ms;
}
