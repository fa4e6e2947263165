/**
 * Reads the page's URL: the hub, the queue and the job that it names.
 *
 * Parameters follow the first `?` inside the fragment, as in links to jobs. The path can also name the queue or the
 * job.
 */

import { plain, rawParams } from "./job/address";
import { sha256Text } from "./job/identity";

/** The path below which a proxy serves this hub, such as `/asman`; empty at the root of a host. Scripts lie below it. */
export const basePath: string = basePathOf(import.meta.url);

/** The start page. */
export const startHref = `${basePath}/`;

export interface QueueAddress {
  /** `https://host` of the hub, and the path below which a proxy serves it, if there is one. */
  hub: string;
  /** The queue's name, or a key to it. */
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
  | { page: "result"; queue: QueueAddress; job: string; line?: number }
  /** A job that is named without a queue: by its id, and by the key to it alone if the link has one. */
  | { page: "linked-job"; job: string; keyed: boolean; path: string; line?: number };

/** The path that a script of the built page has before `/assets/`. */
export function basePathOf(script: string): string {
  const [, path = ""] = /^https?:\/\/[^/]+(\/.*)?\/assets\/[^/]*$/.exec(script) ?? [];
  return path;
}

/** The URL of the hub that served this page. */
export function ownHub(): string {
  return location.origin + basePath;
}

const QUEUE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** Names that links of earlier services have: with spaces, `@`, `+` or letters of any script. */
const OLDER_NAME =
  /^[A-Za-z0-9\u00a0-\ud7ff\ue000-\uffff](?:[A-Za-z0-9\u00a0-\ud7ff\ue000-\uffff ._@+~,()!'&=-]{0,126}[A-Za-z0-9\u00a0-\ud7ff\ue000-\uffff._@+~,()!'&=-])?$/;
/** A key to a queue, which grants less than its name. */
const QUEUE_KEY = /^~[a-z2-7]{52}$/;
/** A job's id, and the key that may follow it. */
const JOB_ID = /^([0-9a-f]{64})(~[0-9a-f]{32})?$/;

/** URL of the hub on the reader's own machine, which serves the queue `local`. */
const LOCAL_HUB = "http://localhost:8000";
const HERE = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(\/.*)?$/;

/** Whether a hub is on the reader's own machine. */
export function isHere(hub: string): boolean {
  return HERE.test(hub);
}

/** Parameters that say which queue. */
const OF_A_QUEUE = ["queue", "queueOverride", "ignoreQueueOverride"];
/** Parameters that only the page of one job has. */
const OF_A_JOB = ["job", "inputs", "autostart", "allowsetjob", "resolverefs", "definition", "control", "maxJobDuration"];

/**
 * Parses a queue's name or URL (`https://host/<queue>`, `https://host/q/<queue>`, `https://host/path/q/<queue>`); null if
 * the text is neither.
 */
export function parseQueue(text: string, hub: string): QueueAddress | null {
  const given = trimmed(text);
  // The queue `local` is on the reader's own machine, even if another hub served the page.
  if (given === "local" && !isHere(hub)) return { hub: LOCAL_HUB, name: "local" };
  const named = queueNamed(given);
  if (named !== null) return { hub, name: named };
  let url: URL;
  try {
    url = new URL(given);
  } catch {
    return null;
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  const [, below = "", last = ""] = /^((?:\/[^/]+)*)\/q\/([^/]+)\/?$/.exec(url.pathname) ?? [];
  const whole = `${url.origin}${url.pathname}`;
  const [path, rest] =
    last !== "" ? [below, last] : hub !== url.origin && whole.startsWith(`${hub}/`) ? [hub.slice(url.origin.length), whole.slice(hub.length + 1)] : ["", url.pathname.slice(1)];
  const name = queueNamed(plain(/^([^/]+)\/?$/.exec(rest)?.[1] ?? ""));
  return name === null ? null : { hub: url.origin + path, name };
}

/** White space around an address; other blanks, such as U+00A0 and U+FEFF, may be part of an older name. */
const ASCII_SPACE = " \t\n\v\f\r";

/** Returns a text without the white space of ASCII around it; `trim` also drops what belongs to a name. */
function trimmed(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && ASCII_SPACE.includes(text.charAt(from))) from += 1;
  while (to > from && ASCII_SPACE.includes(text.charAt(to - 1))) to -= 1;
  return text.slice(from, to);
}

/** Returns the queue that a name stands for: the name itself, a key, or the alias of an older name; null for no name. */
export function queueNamed(name: string): string | null {
  if (QUEUE_NAME.test(name) || QUEUE_KEY.test(name)) return name;
  return OLDER_NAME.test(name) ? `old-${sha256Text(name.normalize("NFC")).slice(0, 32)}` : null;
}

/**
 * Chooses the page for a URL.
 *
 * @param embedded Whether the page is in a frame of another page; then it always shows one job.
 */
export function parseRoute(location: { origin: string; pathname: string; hash: string }, embedded = false, base = basePath): Route {
  const hub = location.origin + base;
  const params = rawParams(location.hash);
  const value = (name: string) => plain(params.get(name) ?? "");
  const overrides = value("ignoreQueueOverride") !== "true" && value("queueOverride") !== "";
  const named = overrides ? value("queueOverride") : value("queue");
  const queue = named === "" ? null : parseQueue(named, hub);
  const problem = named !== "" && queue === null ? badQueue(named) : null;

  const [, kind, rest = ""] = /^\/(q|j)\/(.*)$/.exec(location.pathname.startsWith(`${base}/`) ? location.pathname.slice(base.length) : "") ?? [];
  if (kind === "q") {
    const name = plain(rest.replace(/\/$/, ""));
    const here = name === trimmed(name) ? parseQueue(name, hub) : null;
    return here === null ? { page: "start", problem: badQueue(name) } : { page: "queue", queue: here };
  }
  if (kind === "j") {
    const named = rest.replace(/\/$/, "");
    const [, job, key] = JOB_ID.exec(named) ?? [];
    if (job === undefined) {
      return { page: "start", problem: `“${short(named)}” is not a job id. A job id has 64 hexadecimal digits. Check the link.` };
    }
    if (problem !== null) return { page: "start", problem };
    return queue === null ? { page: "linked-job", job, keyed: key !== undefined, path: `${base}/j/${named}`, ...lineOf(value("line")) } : { page: "result", queue, job, ...lineOf(value("line")) };
  }
  if (embedded || OF_A_JOB.some((name) => params.has(name))) {
    return queue === null ? { page: "no-queue", params, problem } : { page: "job", queue, params };
  }
  if (queue !== null) return { page: "queue", queue };
  return { page: "start", problem: problem ?? unread([...params.keys()]) };
}

/** The value of the `queue` parameter for a queue. */
export function queueParam(queue: QueueAddress): string {
  if (queue.hub === LOCAL_HUB && queue.name === "local") return "local";
  return queue.hub === ownHub() ? queue.name : encodeURIComponent(queueUrl(queue));
}

/** The link to a queue's page. */
export function queueHref(queue: QueueAddress): string {
  return queue.hub === ownHub() ? `${basePath}/q/${queue.name}` : `${startHref}#?queue=${queueParam(queue)}`;
}

/** The link to a job's page, which shows this job and its result. */
export function jobHref(queue: QueueAddress, job: string): string {
  return `${basePath}/j/${job}#?queue=${queueParam(queue)}`;
}

/** The link to one line of a job's log, by the number that is shown beside it. */
export function lineHref(queue: QueueAddress, job: string, line: number): string {
  return `${jobHref(queue, job)}&line=${line}`;
}

function lineOf(text: string): { line?: number } {
  return /^[1-9]\d{0,14}$/.test(text) ? { line: Number(text) } : {};
}

/** The address of a file of a job, below an address of the job. */
export function fileHref(job: string, kind: "inputs" | "outputs", path: string): string {
  return `${job}/${kind}/${path.split("/").map(encodeURIComponent).join("/")}`;
}

/** The queue's URL, as workers and the command line take it. */
export function queueUrl(queue: QueueAddress): string {
  return `${queue.hub}/q/${queue.name}`;
}

export function socketUrl(queue: QueueAddress): string {
  return `${queueUrl(queue).replace(/^http/, "ws")}/client`;
}

export function outputHref(queue: QueueAddress, job: string, path: string): string {
  return fileHref(`${queueUrl(queue)}/jobs/${job}`, "outputs", path);
}

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

/** Generates a queue name that can't be guessed: 160 random bits in base32. */
export function newQueueName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return Array.from(bytes, (byte) => ALPHABET.charAt(byte & 31)).join("");
}

/** The sentence about parameters without a queue or a job, which nothing reads; null if there are none. */
function unread(names: readonly string[]): string | null {
  const found = names.filter((name) => name !== "" && !OF_A_QUEUE.includes(name)).map((name) => `“${short(name)}”`);
  if (found.length === 0) return null;
  const have = found.length === 1 ? "The parameter" : "The parameters";
  return `${have} ${found.join(", ")} of this link ${found.length === 1 ? "names" : "name"} neither a queue (queue=…) nor a job (job=…). Check the link, or open a queue below.`;
}

function badQueue(name: string): string {
  // The key of a link is not shown: it is a secret, and nobody could see what is wrong with it.
  if (/(^|\/)~/.test(name)) {
    return "This link is damaged: the key of the queue in it, which begins with “~”, has a missing, extra or wrong character. Copy the link again as a whole, or ask for a new one.";
  }
  return `“${short(name)}” is not a queue name. A queue name has 1 to 128 letters, digits, dots, “_” or “-”. Check the link, or open another queue below.`;
}

function short(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
