/** Encodes and decodes frames. A frame is a msgpack array of messages. */

import { Decoder, Encoder } from "@msgpack/msgpack";
import type { Incoming, Outgoing } from "./messages";

const encoder = new Encoder({ ignoreUndefined: true });
const decoder = new Decoder();

/** Encodes messages as one frame. */
export function encodeFrame(messages: readonly Outgoing[]): Uint8Array<ArrayBuffer> {
  return encoder.encode(messages);
}

/**
 * Decodes the messages of a frame, in order. Values without a `type` are dropped; messages of unknown types are
 * returned, and their readers ignore them.
 *
 * @throws {Error} The frame is not a msgpack array.
 */
export function decodeFrame(data: ArrayBuffer | Uint8Array): Incoming[] {
  const frame = decoder.decode(data);
  if (!Array.isArray(frame)) throw new Error("a frame must be an array of messages");
  return frame.filter(isMessage);
}

function isMessage(value: unknown): value is Incoming {
  return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}
