/** Frames: a msgpack array of messages, so that many travel in one. */

import { Decoder, Encoder } from "@msgpack/msgpack";
import type { Incoming, Outgoing } from "./messages";

const encoder = new Encoder({ ignoreUndefined: true });
const decoder = new Decoder();

/** One frame from messages. */
export function encodeFrame(messages: readonly Outgoing[]): Uint8Array<ArrayBuffer> {
  return encoder.encode(messages);
}

/**
 * The messages of a frame, in order. What has no `type` is left out; types that this page does not know pass
 * through, and whoever reads them ignores them.
 *
 * @throws {Error} the frame is not a msgpack array.
 */
export function decodeFrame(data: ArrayBuffer | Uint8Array): Incoming[] {
  const frame = decoder.decode(data);
  if (!Array.isArray(frame)) throw new Error("a frame must be an array of messages");
  return frame.filter(isMessage);
}

function isMessage(value: unknown): value is Incoming {
  return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}
