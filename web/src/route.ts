/**
 * What the address says: which queue on which hub, and which job.
 *
 * Parameters stand after the first `?` inside the fragment, as links to jobs have them; a path names the queue or
 * the job too. Values may be percent-encoded or not.
 */

export interface QueueAddress {
  /** `https://host` of the hub. */
  hub: string;
  name: string;
}

export type Route =
  | { page: "start"; problem: string | null }
  | { page: "queue"; queue: QueueAddress }
  | { page: "job"; queue: QueueAddress; job: string }
  /** A job's link that does not say in which queue. */
  | { page: "lost-job"; job: string };

const QUEUE_NAME = /^[A-Za-z0-9._-]{1,128}$/;
const JOB_ID = /^[0-9a-f]{64}$/;

/** Every parameter of a fragment. */
export function hashParams(hash: string): Map<string, string> {
  const found = new Map<string, string>();
  const at = hash.indexOf("?");
  if (at < 0) return found;
  for (const part of hash.slice(at + 1).split("&")) {
    const equals = part.indexOf("=");
    const key = equals < 0 ? part : part.slice(0, equals);
    if (key !== "") found.set(decoded(key), equals < 0 ? "" : decoded(part.slice(equals + 1)));
  }
  return found;
}

/** A queue from its name, or from its URL `https://host/<queue>` or `https://host/q/<queue>`; null if it is neither. */
export function parseQueue(text: string, hub: string): QueueAddress | null {
  const trimmed = text.trim();
  if (QUEUE_NAME.test(trimmed)) return { hub, name: trimmed };
  let url: URL;
  try {
    url = new URL(trimmed);
  } catch {
    return null;
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  const name = decoded(/^\/(?:q\/)?([^/]+)\/?$/.exec(url.pathname)?.[1] ?? "");
  return QUEUE_NAME.test(name) ? { hub: url.origin, name } : null;
}

export function parseRoute(location: { origin: string; pathname: string; hash: string }): Route {
  const hub = location.origin;
  const params = hashParams(location.hash);
  const named = params.get("queue");
  const queue = named === undefined || named === "" ? null : parseQueue(named, hub);
  if (named !== undefined && named !== "" && queue === null) return { page: "start", problem: badQueue(named) };

  const [, kind, rest = ""] = /^\/(q|j)\/(.*)$/.exec(location.pathname) ?? [];
  if (kind === "q") {
    const name = decoded(rest.replace(/\/$/, ""));
    const here = parseQueue(name, hub);
    return here === null ? { page: "start", problem: badQueue(name) } : { page: "queue", queue: here };
  }
  if (kind === "j") {
    const job = rest.replace(/\/$/, "");
    if (!JOB_ID.test(job)) {
      return { page: "start", problem: `“${short(job)}” is not a job's id: one has 64 digits from 0 to f. Check the link.` };
    }
    return queue === null ? { page: "lost-job", job } : { page: "job", queue, job };
  }
  return queue === null ? { page: "start", problem: null } : { page: "queue", queue };
}

/** The address of a queue's page. */
export function queueHref(queue: QueueAddress): string {
  return queue.hub === location.origin ? `/q/${queue.name}` : `/#?queue=${encodeURIComponent(queueUrl(queue))}`;
}

/** The address of a job's page. */
export function jobHref(queue: QueueAddress, job: string): string {
  const named = queue.hub === location.origin ? queue.name : encodeURIComponent(queueUrl(queue));
  return `/j/${job}#?queue=${named}`;
}

/** What workers and the command line are given. */
export function queueUrl(queue: QueueAddress): string {
  return `${queue.hub}/q/${queue.name}`;
}

export function socketUrl(queue: QueueAddress): string {
  return `${queueUrl(queue).replace(/^http/, "ws")}/client`;
}

export function outputHref(queue: QueueAddress, job: string, path: string): string {
  return `${queue.hub}/j/${job}/outputs/${path.split("/").map(encodeURIComponent).join("/")}`;
}

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

/** A name that nobody guesses: 160 random bits in base32. */
export function newQueueName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return Array.from(bytes, (byte) => ALPHABET.charAt(byte & 31)).join("");
}

function badQueue(name: string): string {
  return `“${short(name)}” is not a queue's name: one has 1 to 128 letters, digits, dots, “_” or “-”. Check the link, or open another queue below.`;
}

function short(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function decoded(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
