/**
 * Computes a job's id: the sha256 of its canonical definition, identical to the hub's (RFC 8785 over known, non-empty
 * fields).
 */

import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import type { DataRef, Definition } from "../protocol/messages";

const PLAIN = ["v", "image", "command", "entrypoint", "workdir", "shmSize", "maxDuration", "tags"] as const;
const BUILD = ["context", "buildContext", "filename", "target", "dockerfile", "buildArgs", "platform"] as const;
const NEEDS = ["cpus", "gpus", "maxDuration", "memory"] as const;

/** Environment variables that pages add for themselves; they are part of neither the id nor the container. */
const INJECTED = new Set(["channel", "CHANNEL", "readonly", "edit", "parent-metapage-id", "fs-path"]);

export function isInjected(name: string): boolean {
  return INJECTED.has(name) || name.startsWith("mp-") || name.startsWith("mp_");
}

/** Start of the signed part of a URL, which the id omits because it does not identify the bytes. */
const PRESIGNED = "/presignedurl/";

/** Addresses in this bucket are signed in their queries. */
const SIGNED_BUCKET = "https://metaframe-asman-test.s3.us-west-1.amazonaws.com";

/** Returns the part of an address that identifies the bytes; the rest signs it. */
function bareUrl(url: string): string {
  const bare = url.split(PRESIGNED, 1)[0] as string;
  return url.startsWith(SIGNED_BUCKET) ? bare.replace(/[?#].*$/s, "") : bare;
}

type Json = { [name: string]: unknown };

/** The canonical object whose JSON is hashed. */
export function canonicalObject(definition: Definition): Json {
  const made: Json = members(definition as Json, PLAIN);
  const build = members((definition.build ?? {}) as Json, BUILD);
  if (Object.keys(build).length > 0) made["build"] = build;
  const needs = members((definition.requirements ?? {}) as Json, NEEDS);
  if (Object.keys(needs).length > 0) made["requirements"] = needs;
  const env = Object.entries(definition.env ?? {}).filter(([name]) => !isInjected(name));
  if (env.length > 0) made["env"] = Object.fromEntries(env);
  for (const field of ["inputs", "configFiles"] as const) {
    const refs = Object.entries(definition[field] ?? {});
    if (refs.length > 0) made[field] = Object.fromEntries(refs.map(([name, ref]) => [name, canonicalRef(ref)]));
  }
  return made;
}

/** Serializes JSON by RFC 8785: keys sorted by UTF-16 code units, numbers as ECMAScript writes them. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((each) => canonicalJson(each ?? null)).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${entries.map(([name, each]) => `${JSON.stringify(name)}:${canonicalJson(each)}`).join(",")}}`;
}

/** The job's id: 64 lowercase hexadecimal digits. */
export function jobId(definition: Definition): string {
  return sha256Text(canonicalJson(canonicalObject(definition)));
}

/** The key in the URL of a job's result; `links` is the queue's secret for such keys. */
export function jobKey(links: string, job: string): string {
  return bytesToHex(hmac(sha256, utf8ToBytes(links), utf8ToBytes(job))).slice(0, 32);
}

/** The URL of a job's result for readers without the queue's name. */
export function resultUrl(hub: string, job: string, links: string): string {
  return `${hub}/j/${job}${links === "" ? "" : `~${jobKey(links, job)}`}`;
}

export function sha256Text(text: string): string {
  return bytesToHex(sha256(utf8ToBytes(text)));
}

function members(from: Json, names: readonly string[]): Json {
  const made: Json = {};
  for (const name of names) {
    const value = from[name];
    if (value !== undefined && value !== null) made[name] = value;
  }
  return made;
}

function canonicalRef(ref: DataRef): Json {
  let { value } = ref;
  if (ref.type === "url" && typeof value === "string") value = bareUrl(value);
  return ref.type === undefined || ref.type === null ? { value } : { type: ref.type, value };
}
