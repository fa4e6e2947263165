/**
 * Uploads files to the hub's blob store.
 *
 * The upload requests a ticket, sends the parts that the ticket lists as missing, and repeats this until the hub
 * confirms that it has the blob. Parts that arrived before an interruption are not sent again, and the store behind
 * the ticket's URLs does not matter.
 */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { Backoff } from "../protocol/backoff";
import { RequestError } from "../protocol/errors";
import type { Answer, Ask, BlobTicket } from "../protocol/messages";

/** Sends bytes to a URL and reports how many were sent. Rejects with a `SendError`. */
export type Send = (
  to: { url: string; method: string; headers: Record<string, string> },
  bytes: Blob,
  sent: (count: number) => void,
  signal: AbortSignal,
) => Promise<void>;

/** A failed transfer; `final` when a retry can't help. */
export class SendError extends Error {
  constructor(
    message: string,
    readonly final: boolean,
  ) {
    super(message);
  }
}

export interface UploadOptions {
  ask: (type: "put_blobs", ask: Ask<"put_blobs">) => Promise<Answer<"put_blobs">>;
  /** The hub's URL, for tickets with a relative URL. */
  hub: string;
  send?: Send;
  /** Waits before the next ticket is requested; the time is in milliseconds. */
  pause?: (ms: number) => Promise<void>;
}

/** Progress of one upload. */
export interface Progress {
  stage: "reading" | "sending" | "checking";
  /** Number of bytes read or sent so far. */
  done: number;
}

/** Size of the slices that are hashed one after another, in bytes. */
const SLICE = 4 * 2 ** 20;
/** Largest blob that the browser hashes at once, in bytes; this is much faster, but keeps the blob in memory. */
const WHOLE = 64 * 2 ** 20;
/** Number of parts sent concurrently. */
const AT_ONCE = 3;
/** Number of tickets in a row without progress after which the upload fails. */
const PATIENCE = 8;

/** Computes the name of a blob: the sha256 of its bytes, in hexadecimal. */
export async function nameOf(blob: Blob, read: (count: number) => void = () => undefined): Promise<string> {
  if (blob.size <= WHOLE && globalThis.crypto?.subtle !== undefined) {
    const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
    read(blob.size);
    return bytesToHex(new Uint8Array(digest));
  }
  const hash = sha256.create();
  for (let at = 0; at < blob.size; at += SLICE) {
    hash.update(new Uint8Array(await blob.slice(at, at + SLICE).arrayBuffer()));
    read(Math.min(blob.size, at + SLICE));
  }
  return bytesToHex(hash.digest());
}

/**
 * Makes sure that the hub has a blob.
 *
 * @returns The blob's sha256.
 * @throws {Error} The hub refused the blob or can't be reached; the message is a sentence for a person.
 */
export async function upload(
  blob: Blob,
  options: UploadOptions,
  onProgress: (progress: Progress) => void = () => undefined,
  signal: AbortSignal = new AbortController().signal,
): Promise<string> {
  const name = await nameOf(blob, (done) => onProgress({ stage: "reading", done }));
  const pause = options.pause ?? ((ms: number) => new Promise((resolve) => setTimeout(resolve, ms)));
  const backoff = new Backoff({ first: 300, most: 2000 });
  let fruitless = 0;
  let missing = Infinity;
  let trouble = "the hub did not confirm that the file arrived";
  while (fruitless < PATIENCE) {
    signal.throwIfAborted();
    const ticket = await asked(name, blob.size, options);
    if (ticket?.exists) return name;
    if (ticket?.refused) throw new Error(ticket.refused);
    const left = ticket?.missing ?? blob.size;
    if (ticket?.pending) onProgress({ stage: "checking", done: blob.size });
    else if (ticket !== null) {
      try {
        await sendMissing(blob, ticket, options, (done) => onProgress({ stage: "sending", done }), signal);
      } catch (error) {
        if (!(error instanceof SendError) || error.final) throw error;
        trouble = error.message;
      }
    }
    // One part that arrived counts as progress, even if others failed.
    fruitless = left < missing ? 0 : fruitless + 1;
    missing = Math.min(missing, left);
    if (fruitless > 0 || ticket?.pending) await pause(backoff.next());
  }
  throw new Error(`The file could not be uploaded: ${trouble}. Try again.`);
}

/** Requests the ticket of a blob; null when the hub can't answer now. */
async function asked(name: string, size: number, options: UploadOptions): Promise<BlobTicket | null> {
  try {
    const { tickets } = await options.ask("put_blobs", { blobs: [[name, size]] });
    return tickets[0] ?? null;
  } catch (error) {
    if (error instanceof RequestError && error.retry) return null;
    throw error;
  }
}

async function sendMissing(
  blob: Blob,
  ticket: BlobTicket,
  options: UploadOptions,
  onProgress: (done: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const send = options.send ?? xhrSend;
  const to = (url: string) => ({
    url: new URL(url, options.hub).href,
    method: ticket.method ?? "PUT",
    headers: ticket.headers ?? {},
  });
  const parts = ticket.parts ?? [];
  if (parts.length === 0) {
    if (!ticket.url) throw new SendError("the hub gave no address for the upload", false);
    await send(to(ticket.url), blob, onProgress, signal);
    return;
  }
  const before = blob.size - (ticket.missing ?? parts.reduce((sum, part) => sum + part.size, 0));
  const sent = new Map<number, number>();
  const left = [...parts];
  const one = async (): Promise<void> => {
    for (let part = left.shift(); part !== undefined; part = left.shift()) {
      const { number, offset, size, url } = part;
      await send(
        to(url),
        blob.slice(offset, offset + size),
        (count) => {
          sent.set(number, count);
          onProgress(before + [...sent.values()].reduce((sum, each) => sum + each, 0));
        },
        signal,
      );
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, one));
  const failed = ends.find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

/** Sends by XMLHttpRequest, as `fetch` does not report the progress of an upload. */
const xhrSend: Send = (to, bytes, sent, signal) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(to.method, to.url);
    for (const [name, value] of Object.entries(to.headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => sent(event.loaded);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) {
        sent(bytes.size);
        resolve();
      } else reject(new SendError(sentenceOf(request), request.status < 500 && ![408, 409, 425, 429].includes(request.status)));
    };
    request.onerror = () => reject(new SendError("the connection broke during the upload", false));
    request.onabort = () => reject(signal.reason ?? new DOMException("Stopped", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(bytes);
  });

function sentenceOf(request: XMLHttpRequest): string {
  try {
    const { error } = JSON.parse(request.responseText) as { error?: unknown };
    if (typeof error === "string") return error;
  } catch {
    // Some stores do not answer in JSON.
  }
  return `the upload was refused with HTTP status ${request.status}`;
}
