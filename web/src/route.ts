/**
 * Reads the page's URL: the hub, the queue and the job that it names.
 *
 * Parameters follow the first `?` inside the fragment, as in links to jobs. The path can also name the queue or the
 * job.
 */

import { plain, rawParams } from "./job/address";

export interface QueueAddress {
  /** `https://host` of the hub. */
  hub: string;
  name: string;
}

export type Params = ReadonlyMap<string, string>;

export type Route =
  | { page: "start"; problem: string | null }
  | { page: "queue"; queue: QueueAddress }
  /** A job whose whole definition is in the URL. */
  | { page: "job"; queue: QueueAddress; params: Params }
  /** The same, but without a valid queue. */
  | { page: "no-queue"; params: Params; problem: string | null }
  /** A job that is named by its id, to show its result. */
  | { page: "result"; queue: QueueAddress; job: string }
  /** A job that is named by its id, but without a queue. */
  | { page: "lost-job"; job: string; path: string };

const QUEUE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** A job's id, and the key that may follow it. */
const JOB_ID = /^([0-9a-f]{64})(?:~[0-9a-f]{32})?$/;

/** URL of the hub on the reader's own machine, which serves the queue `local`. */
const LOCAL_HUB = "http://localhost:8000";
/** Origins on the reader's own machine. */
const HERE = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

/** Parameters that only the page of one job has. */
const OF_A_JOB = ["job", "inputs", "autostart", "allowsetjob", "resolverefs", "definition", "control", "maxJobDuration"];

/** Parses a queue's name or URL (`https://host/<queue>`, `https://host/q/<queue>`); null if the text is neither. */
export function parseQueue(text: string, hub: string): QueueAddress | null {
  const trimmed = text.trim();
  // The queue `local` is on the reader's own machine, even if another hub served the page.
  if (trimmed === "local" && !HERE.test(hub)) return { hub: LOCAL_HUB, name: "local" };
  if (QUEUE_NAME.test(trimmed)) return { hub, name: trimmed };
  let url: URL;
  try {
    url = new URL(trimmed);
  } catch {
    return null;
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  const name = plain(/^\/(?:q\/)?([^/]+)\/?$/.exec(url.pathname)?.[1] ?? "");
  return QUEUE_NAME.test(name) ? { hub: url.origin, name } : null;
}

/**
 * Chooses the page for a URL.
 *
 * @param embedded Whether the page is in a frame of another page; then it always shows one job.
 */
export function parseRoute(location: { origin: string; pathname: string; hash: string }, embedded = false): Route {
  const hub = location.origin;
  const params = rawParams(location.hash);
  const value = (name: string) => plain(params.get(name) ?? "");
  const overrides = value("ignoreQueueOverride") !== "true" && value("queueOverride") !== "";
  const named = overrides ? value("queueOverride") : value("queue");
  const queue = named === "" ? null : parseQueue(named, hub);
  const problem = named !== "" && queue === null ? badQueue(named) : null;

  const [, kind, rest = ""] = /^\/(q|j)\/(.*)$/.exec(location.pathname) ?? [];
  if (kind === "q") {
    const name = plain(rest.replace(/\/$/, ""));
    const here = parseQueue(name, hub);
    return here === null ? { page: "start", problem: badQueue(name) } : { page: "queue", queue: here };
  }
  if (kind === "j") {
    const named = rest.replace(/\/$/, "");
    const job = JOB_ID.exec(named)?.[1];
    if (job === undefined) {
      return { page: "start", problem: `“${short(named)}” is not a job id. A job id has 64 hexadecimal digits. Check the link.` };
    }
    if (problem !== null) return { page: "start", problem };
    return queue === null ? { page: "lost-job", job, path: `/j/${named}` } : { page: "result", queue, job };
  }
  if (embedded || OF_A_JOB.some((name) => params.has(name))) {
    return queue === null ? { page: "no-queue", params, problem } : { page: "job", queue, params };
  }
  return queue === null ? { page: "start", problem } : { page: "queue", queue };
}

/** The value of the `queue` parameter for a queue. */
export function queueParam(queue: QueueAddress): string {
  if (queue.hub === LOCAL_HUB && queue.name === "local") return "local";
  return queue.hub === location.origin ? queue.name : encodeURIComponent(queueUrl(queue));
}

/** The link to a queue's page. */
export function queueHref(queue: QueueAddress): string {
  return queue.hub === location.origin ? `/q/${queue.name}` : `/#?queue=${queueParam(queue)}`;
}

/** The link to a job's page, which shows this job and its result. */
export function jobHref(queue: QueueAddress, job: string): string {
  return `/j/${job}#?queue=${queueParam(queue)}`;
}

/** The queue's URL, as workers and the command line take it. */
export function queueUrl(queue: QueueAddress): string {
  return `${queue.hub}/q/${queue.name}`;
}

export function socketUrl(queue: QueueAddress): string {
  return `${queueUrl(queue).replace(/^http/, "ws")}/client`;
}

export function outputHref(queue: QueueAddress, job: string, path: string): string {
  return `${queueUrl(queue)}/jobs/${job}/outputs/${path.split("/").map(encodeURIComponent).join("/")}`;
}

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

/** Generates a queue name that can't be guessed: 160 random bits in base32. */
export function newQueueName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return Array.from(bytes, (byte) => ALPHABET.charAt(byte & 31)).join("");
}

function badQueue(name: string): string {
  return `“${short(name)}” is not a queue name. A queue name has 1 to 128 letters, digits, dots, “_” or “-”. Check the link, or open another queue below.`;
}

function short(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
