/**
 * Converts values that pages pipe to each other into inputs of a job.
 *
 * Values arrive unconverted, as marked `data:` strings, or as the objects that older pages made of bytes. The inputs of
 * a job are refs: a short ref contains the value, a longer value is uploaded to the hub and named by its sha256.
 */

import { canonicalJson } from "../job/identity";
import { isObject } from "../job/address";
import type { DataRef } from "../protocol/messages";

/** Uploads bytes to the hub and returns their ref. */
export type Store = (blob: Blob) => Promise<DataRef>;

/** Largest value that is kept inside a definition, in bytes. */
const INLINE = 4096;
const TYPES = new Set(["utf8", "json", "base64", "url", "key"]);

/** Converts a piped value to a ref; null for an empty value. */
export async function refOf(value: unknown, store: Store): Promise<DataRef | null> {
  if (value === undefined || value === null) return null;
  if (typeof value === "string") return value.startsWith("data:") ? fromDataUrl(value, store) : text(value, store);
  if (typeof value === "number" || typeof value === "bigint") return { type: "utf8", value: String(value) };
  if (value instanceof Blob) return bytes(value, store);
  if (value instanceof ArrayBuffer) return bytes(new Blob([value]), store);
  if (ArrayBuffer.isView(value)) return bytes(new Blob([value as Uint8Array<ArrayBuffer>]), store);
  if (isRef(value)) return plainRef(value);
  const encoded = encodedIn(value);
  return encoded === null ? json(value, store) : bytes(decoded(encoded), store);
}

/** Whether a value is already a ref. */
export function isRef(value: unknown): value is DataRef {
  if (!isObject(value) || !("value" in value) || !TYPES.has(String(value["type"]))) return false;
  return Object.keys(value).every((name) => name === "value" || name === "type" || name === "hash");
}

/** The input name for a pipe; null for pipes that are not files. */
export function inputName(pipe: string): string | null {
  const name = pipe.replace(/^\/+/, "");
  return name === "" || name === "job" || name === "metaframe/job" ? null : name;
}

/** Reads the definition that pages pipe in to replace the job, whatever slashes are before the pipe's name; null for none. */
export function pipedJob(piped: Readonly<Record<string, unknown>>): Record<string, unknown> | null {
  const under = (name: string) => Object.entries(piped).find(([pipe]) => pipe.replace(/^\/+/, "") === name)?.[1];
  return definitionOf(under("job") ?? under("metaframe/job"));
}

/** Reads a piped-in definition: an object, or JSON text in any form in which pages pipe text and bytes but a Blob. */
export function definitionOf(value: unknown): Record<string, unknown> | null {
  try {
    if (typeof value === "string") return definitionOf(JSON.parse(value.startsWith("data:") ? textOf(value) : value));
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return definitionOf(new TextDecoder().decode(value));
    if (value instanceof Blob) return null;
    const encoded = encodedIn(value) ?? (isRef(value) && value.type === "base64" ? value.value : null);
    if (typeof encoded === "string") return definitionOf(new TextDecoder().decode(byteArray(encoded)));
  } catch {
    return null;
  }
  if (isRef(value)) return definitionOf(value.value);
  return isObject(value) ? value : null;
}

/** Bytes in the forms of older pages, `{_s, _c, value}` and `{ref: "base64", c, value}`, in base64; null for others. */
function encodedIn(value: unknown): string | null {
  if (!isObject(value)) return null;
  const marked = (value["_s"] === true && value["_c"]) || (value["ref"] === "base64" && value["c"]);
  return marked && typeof value["value"] === "string" ? value["value"] : null;
}

/** Reads the text in a `data:` string; throws if there is none. */
function textOf(url: string): string {
  const [, marks, body] = partsOf(url);
  return marks.includes("base64") ? new TextDecoder().decode(byteArray(body)) : percentDecoded(body);
}

/** Encodes a file as pages pipe it: a `data:` string with the file's name and type. */
export async function fileUrl(name: string, mediaType: string, blob: Blob): Promise<string> {
  return `data:${mediaType};file=true;name=${encodeURIComponent(name)};lastModified=0;base64,${await base64(blob)}`;
}

async function fromDataUrl(url: string, store: Store): Promise<DataRef> {
  if (!url.includes(",")) return text(url, store);
  const [type, marks, body] = partsOf(url);
  if (type === "text/x-uri") return { type: "url", value: percentDecoded(body) };
  if (marks.includes("base64")) return bytes(decoded(body), store);
  const said = percentDecoded(body);
  if (type === "application/json") {
    try {
      return await json(JSON.parse(said), store);
    } catch {
      return text(said, store);
    }
  }
  return text(type === "" || type.startsWith("text/") ? said : url, store);
}

/** Divides a `data:` string into its type, its marks, and what follows the comma. */
function partsOf(url: string): [type: string, marks: string[], body: string] {
  const comma = url.indexOf(",");
  const [type = "", ...marks] = url.slice(5, comma).split(";");
  return [type, marks, url.slice(comma + 1)];
}

function plainRef({ type, value }: DataRef): DataRef {
  return type === undefined ? { value } : { type, value };
}

async function text(value: string, store: Store): Promise<DataRef> {
  const blob = new Blob([value]);
  return blob.size <= INLINE ? { type: "utf8", value } : store(blob);
}

async function json(value: unknown, store: Store): Promise<DataRef> {
  const blob = new Blob([canonicalJson(value)]);
  return blob.size <= INLINE ? { type: "json", value } : store(blob);
}

async function bytes(blob: Blob, store: Store): Promise<DataRef> {
  return blob.size <= INLINE ? { type: "base64", value: await base64(blob) } : store(blob);
}

function decoded(text: string): Blob {
  return new Blob([byteArray(text)]);
}

function byteArray(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

async function base64(blob: Blob): Promise<string> {
  const all = new Uint8Array(await blob.arrayBuffer());
  let binary = "";
  // In chunks, as the number of arguments of a call is limited.
  for (let at = 0; at < all.length; at += 8192) binary += String.fromCharCode(...all.subarray(at, at + 8192));
  return btoa(binary);
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
