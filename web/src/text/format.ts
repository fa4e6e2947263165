/** Formats numbers, times and names for people. */

/** Formats a duration: `850 ms`, `2.4 s`, `20m 05s`, `1h 30m`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return longDuration(Math.floor(ms / 1000));
}

/** Formats a duration that is still growing, in whole seconds, so that it ticks evenly. */
export function ticking(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return seconds < 60 ? `${seconds} s` : longDuration(seconds);
}

function longDuration(seconds: number): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${two(seconds % 60)}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h ${two(minutes % 60)}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

/** Formats a number of bytes: `17 B`, `1.5 KiB`, `2 GiB`. */
export function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toPrecision(2)} ${units[at]}`;
}

/** Formats a number with a thin space between thousands. */
export function count(n: number): string {
  return n.toLocaleString("en").replaceAll(",", "\u202f");
}

/** Formats a count with its noun: `1 line`, `2 lines`. */
export function plural(n: number, one: string, many: string = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

const sameDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const otherDay = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** Formats a time of day, with the date if it is not today. */
export function clock(time: number, now: number): string {
  return new Date(time).toDateString() === new Date(now).toDateString() ? sameDay.format(time) : otherDay.format(time);
}

export function fullTime(time: number): string {
  return new Date(time).toISOString().replace("T", " ").replace("Z", " UTC");
}

/** The first digits of a job's id, enough to tell jobs apart. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}

/** The first letters of a queue's name; the whole name is a secret that need not be on the screen. */
export function shortQueue(name: string): string {
  return name.length > 12 ? `${name.slice(0, 8)}…` : name;
}
