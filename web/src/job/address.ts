/**
 * A job in an address: parameters after the first `?` of the fragment.
 *
 * Links are of three generations. JSON stands in them as base64 of percent-encoded JSON, as that percent-encoded once
 * more, or as base64 of plain JSON; other values are percent-encoded or not. One tolerant reader takes all of them;
 * only the newest form is written, keys in order, so that one job has one address.
 */

import type { DataRef, Definition } from "../protocol/messages";
import { isInjected } from "./identity";
import { parseDuration } from "./units";

/** What a submission says beside the definition. */
export interface Control {
  namespace?: string;
  callbacks?: { queued?: Callback; finished?: Callback };
  maxDuration?: string;
}

export interface Callback {
  url: string;
  payload?: unknown;
}

/** A parameter that can't be used, and why. */
export interface BadParam {
  name: string;
  why: string;
}

/** What the parameters of an address say of a job. */
export interface JobParams {
  /** The definition in `job`; null when there is none, or none that can be read. */
  job: Definition | null;
  /** Text files by name. */
  files: Readonly<Record<string, string>>;
  /** What else stands there: environment of the job, and what `${name}` stands for. */
  env: Readonly<Record<string, string>>;
  control: Control | null;
  maxJobDuration: string;
  autostart: boolean;
  allowSetJob: boolean;
  resolveRefs: boolean;
  problems: readonly BadParam[];
}

/** Parameters that mean something to the page itself. */
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

/** Every parameter of a fragment, as it stands there. */
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

/** A fragment with these parameters. */
export function writeHash(params: ReadonlyMap<string, string>): string {
  const keys = [...params.keys()].sort();
  return keys.length === 0 ? "" : `#?${keys.map((key) => `${encodeURIComponent(key)}=${params.get(key)}`).join("&")}`;
}

/** A value that is text. */
export function plain(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** JSON as the newest links have it. */
export function writeJson(value: unknown): string {
  return btoa(encodeURIComponent(stableJson(value)));
}

/**
 * JSON of any generation.
 *
 * @throws {Error} with a sentence: it is none of them.
 */
export function readJson(text: string): unknown {
  let bytes: string;
  try {
    bytes = atob(plain(text).replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    throw new Error("it is not base64; the link may have been cut off or changed");
  }
  // Percent-encoded JSON has no brackets and quotes; plain JSON may hold percent signs of its own, so it goes first.
  const plainFirst = /^\s*[[{"]/.test(bytes);
  const readers = plainFirst ? [() => utf8(bytes), () => bytes] : [() => decodeURIComponent(bytes), () => utf8(bytes)];
  for (const read of readers) {
    try {
      return JSON.parse(read()) as unknown;
    } catch {
      // The other form may be it.
    }
  }
  throw new Error("it contains no JSON; the link may have been cut off or changed");
}

/** What a fragment says of a job. */
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
  const maxJobDuration = plain(raw.get("maxJobDuration") ?? "");
  if (maxJobDuration !== "" && parseDuration(maxJobDuration) === null) {
    problems.push({ name: "maxJobDuration", why: `“${maxJobDuration}” is not a duration; write it as 90s, 20m or 1h30m` });
  }
  return {
    job: json("job", isObject, "a job definition") as Definition | null,
    files: json("inputs", isTexts, "texts by file name") ?? {},
    env,
    control: json("control", isObject, "submission options") as Control | null,
    maxJobDuration,
    autostart: flag("autostart"),
    allowSetJob: flag("allowsetjob"),
    resolveRefs: flag("resolverefs"),
    problems,
  };
}

/** Parameters with another definition and other text files; everything else stays. */
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

/** The definition that an address means, together with what was piped in. */
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

/** A stored definition as parameters that mean the same: its text files apart, where a person can edit them. */
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
