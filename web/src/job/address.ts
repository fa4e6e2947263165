/**
 * Reads and writes a job in a URL, as parameters after the first `?` of the fragment.
 *
 * There are three generations of links. They encode JSON as base64 of percent-encoded JSON, as the same
 * percent-encoded once more, or as base64 of plain JSON. Other values may or may not be percent-encoded. One tolerant
 * reader accepts all of them. Only the newest form is written, with sorted keys, so that one job has one URL.
 */

import type { Callback, DataRef, Definition } from "../protocol/messages";
import { isInjected } from "./identity";
import { inNewForm, timeLimit } from "./units";

/** Options of a submission that are not part of the definition. */
export interface Control {
  namespace?: string;
  callbacks?: { queued?: Callback; finished?: Callback };
  maxDuration?: string;
}

/** A parameter that can't be used, and the reason. */
export interface BadParam {
  name: string;
  why: string;
  /** Whether a job would run without a limit that the URL asks for, so that it must not run. */
  stops?: boolean;
}

/** The parameters of a URL that describe a job. */
export interface JobParams {
  /** The definition in `job`; null when it is missing or can't be read. */
  job: Definition | null;
  /** Text files by name. */
  files: Readonly<Record<string, string>>;
  /** All other parameters: environment variables of the job, and values for `${name}`. */
  env: Readonly<Record<string, string>>;
  control: Control | null;
  maxJobDuration: string;
  /** The limits that the URL sets on a run, in milliseconds; the shortest counts. */
  timeLimits: readonly number[];
  autostart: boolean;
  allowSetJob: boolean;
  resolveRefs: boolean;
  problems: readonly BadParam[];
}

/** Parameters with a meaning for the page itself; all others become environment variables. */
const OWN = new Set([
  "job",
  "inputs",
  "queue",
  "queueOverride",
  "ignoreQueueOverride",
  "autostart",
  "allowsetjob",
  "resolverefs",
  "terminal",
  "debug",
  "maxJobDuration",
  "control",
  "definition",
]);

/** Every parameter of a fragment, still encoded. */
export function rawParams(hash: string): Map<string, string> {
  const found = new Map<string, string>();
  const at = hash.indexOf("?");
  if (at < 0) return found;
  for (const part of hash.slice(at + 1).split("&")) {
    const equals = part.indexOf("=");
    const key = plain(equals < 0 ? part : part.slice(0, equals));
    if (key !== "") found.set(key, equals < 0 ? "" : part.slice(equals + 1));
  }
  return found;
}

/** Builds a fragment from parameters. */
export function writeHash(params: ReadonlyMap<string, string>): string {
  const keys = [...params.keys()].sort();
  return keys.length === 0 ? "" : `#?${keys.map((key) => `${encodeURIComponent(key)}=${params.get(key)}`).join("&")}`;
}

/** Decodes a text value; one that is not percent-encoded is returned unchanged. */
export function plain(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Encodes JSON in the newest form. */
export function writeJson(value: unknown): string {
  return btoa(encodeURIComponent(stableJson(value)));
}

/**
 * Decodes JSON of any generation.
 *
 * @throws {Error} The text has none of the forms; the message says why.
 */
export function readJson(text: string): unknown {
  let bytes: string;
  try {
    bytes = atob(plain(text).replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    throw new Error("it is not base64; the link may have been cut off or changed");
  }
  // Percent-encoded JSON contains no brackets or quotes. Plain JSON may contain percent signs, so it is tried first.
  const plainFirst = /^\s*[[{"]/.test(bytes);
  const readers = plainFirst ? [() => utf8(bytes), () => bytes] : [() => decodeURIComponent(bytes), () => utf8(bytes)];
  for (const read of readers) {
    try {
      return JSON.parse(read()) as unknown;
    } catch {
      // Try the other form.
    }
  }
  throw new Error("it contains no JSON; the link may have been cut off or changed");
}

/** Reads the job that a fragment describes. */
export function readParams(raw: ReadonlyMap<string, string>): JobParams {
  const problems: BadParam[] = [];
  const json = <T>(name: string, is: (value: unknown) => value is T, wanted: string): T | null => {
    const text = raw.get(name);
    if (text === undefined || text === "") return null;
    try {
      const value = readJson(text);
      if (is(value)) return value;
      problems.push({ name, why: `it must contain ${wanted}, but contains ${kind(value)}` });
    } catch (error) {
      problems.push({ name, why: (error as Error).message });
    }
    return null;
  };
  const flag = (name: string) => {
    const text = plain(raw.get(name) ?? "");
    if (text !== "" && text !== "true" && text !== "false") problems.push({ name, why: "it must be “true” or “false”" });
    return text === "true";
  };
  const env: Record<string, string> = {};
  for (const [name, text] of raw) if (!OWN.has(name) && !isInjected(name)) env[name] = plain(text);
  const control = json("control", isObject, "submission options") as Control | null;
  const maxJobDuration = plain(raw.get("maxJobDuration") ?? "");
  const timeLimits: number[] = [];
  const limit = (name: string, given: unknown, says: string) => {
    try {
      timeLimits.push(timeLimit(given));
    } catch (error) {
      problems.push({ name, why: says + (error as Error).message, stops: true });
    }
  };
  if (maxJobDuration !== "") limit("maxJobDuration", maxJobDuration, "");
  if ((control?.maxDuration ?? null) !== null) limit("control", control?.maxDuration, "its maxDuration: ");
  const job = json("job", isObject, "a job definition");
  return {
    job: job === null ? null : inNewForms(job),
    files: json("inputs", isTexts, "texts by file name") ?? {},
    env,
    control,
    maxJobDuration,
    timeLimits,
    autostart: flag("autostart"),
    allowSetJob: flag("allowsetjob"),
    resolveRefs: flag("resolverefs"),
    problems,
  };
}

/** Returns a definition without the forms of older links: durations in words, numbers and flags in `env`. */
function inNewForms(job: Readonly<Record<string, unknown>>): Definition {
  const made: Record<string, unknown> = { ...job };
  if (made.maxDuration !== undefined) made.maxDuration = inNewForm(made.maxDuration);
  if (isObject(made.requirements) && made.requirements.maxDuration !== undefined)
    made.requirements = { ...made.requirements, maxDuration: inNewForm(made.requirements.maxDuration) };
  const text = (value: unknown) => (typeof value === "number" || typeof value === "boolean" ? String(value) : value);
  if (isObject(made.env)) made.env = Object.fromEntries(Object.entries(made.env).map(([name, one]) => [name, text(one)]));
  return made as Definition;
}

/** Replaces the definition and the text files in the parameters; all other parameters stay. */
export function withJob(
  raw: ReadonlyMap<string, string>,
  job: Definition,
  files: Readonly<Record<string, string>>,
): Map<string, string> {
  const made = new Map(raw);
  made.set("job", writeJson(job));
  if (Object.keys(files).length > 0) made.set("inputs", writeJson(files));
  else made.delete("inputs");
  return made;
}

/** The complete definition that a URL describes, including piped-in inputs. */
export function effective(params: JobParams, piped: Readonly<Record<string, DataRef>> = {}): Definition {
  const job = params.job ?? {};
  const files = Object.entries(params.files).map(([name, value]) => [name, { type: "utf8", value }] as const);
  const configFiles = { ...job.configFiles, ...Object.fromEntries(files) };
  const inputs = { ...job.inputs, ...piped };
  const env = { ...job.env, ...params.env };
  const made: Definition = { ...job, env };
  delete made.inputs;
  delete made.configFiles;
  if (Object.keys(inputs).length > 0) made.inputs = inputs;
  if (Object.keys(configFiles).length > 0) made.configFiles = configFiles;
  const fill = (text: string) => text.replace(/\$\{([A-Za-z_][\w.-]*)\}/g, (all, name: string) => params.env[name] ?? all);
  if (typeof made.command === "string") made.command = fill(made.command);
  else if (Array.isArray(made.command)) made.command = made.command.map(fill);
  if (typeof made.build?.context === "string") made.build = { ...made.build, context: fill(made.build.context) };
  return made;
}

/** Splits a stored definition into the definition and its text files, so that a person can edit both. */
export function asParams(definition: Definition): { job: Definition; files: Record<string, string> } {
  const files: Record<string, string> = {};
  const kept: Record<string, DataRef> = {};
  for (const [name, ref] of Object.entries(definition.configFiles ?? {})) {
    if (ref.type === "utf8" && typeof ref.value === "string") files[name] = ref.value;
    else kept[name] = ref;
  }
  const job: Definition = { ...definition };
  delete job.configFiles;
  if (Object.keys(kept).length > 0) job.configFiles = kept;
  return { job, files };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTexts(value: unknown): value is Record<string, string> {
  return isObject(value) && Object.values(value).every((each) => typeof each === "string");
}

function kind(value: unknown): string {
  return Array.isArray(value) ? "a list" : value === null ? "null" : isObject(value) ? "other values" : `a ${typeof value}`;
}

function utf8(bytes: string): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0)));
}

function stableJson(value: unknown): string {
  return JSON.stringify(value, (_name, each: unknown) =>
    isObject(each) ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) : each,
  );
}
