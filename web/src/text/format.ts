/** Numbers as people read them. */

/** A length of time: `850 ms`, `2.4 s`, `20m 05s`, `1h 30m`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return longDuration(Math.floor(ms / 1000));
}

/** A length of time that is still growing: whole seconds only, so that it ticks evenly. */
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

/** Bytes: `17 B`, `1.5 KiB`, `2 GiB`. */
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

/** A number with its thousands apart. */
export function count(n: number): string {
  return n.toLocaleString("en").replaceAll(",", "\u202f");
}

/** `1 line`, `2 lines`. */
export function plural(n: number, one: string, many: string = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

const sameDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const otherDay = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** The time of day, with the date when it is not today's. */
export function clock(time: number, now: number): string {
  return new Date(time).toDateString() === new Date(now).toDateString() ? sameDay.format(time) : otherDay.format(time);
}

export function fullTime(time: number): string {
  return new Date(time).toISOString().replace("T", " ").replace("Z", " UTC");
}

/** The start of a job's id, enough to tell it from others by eye. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}

/** The start of a queue's name; the whole name is a secret that a screen need not show. */
export function shortQueue(name: string): string {
  return name.length > 12 ? `${name.slice(0, 8)}…` : name;
}
