/**
 * Keys that grant less than a queue's name, derived from the name without asking the hub; the same as
 * `asman_shared.keys.derived` derives.
 */

import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";

export type KeyKind = "read" | "submit" | "work" | "submit+read";

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

/** The key to a queue that grants some rights; `name` is the queue's name, in no older form. */
export function derivedKey(name: string, kind: KeyKind): string {
  return `~${base32(hmac(sha256, utf8ToBytes(name), utf8ToBytes(`asman ${kind}`)))}`;
}

/** Encodes bytes in base32 (RFC 4648) in lower case, without padding. */
function base32(bytes: Uint8Array): string {
  let text = "";
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET.charAt((value >> bits) & 31);
    }
  }
  return bits > 0 ? text + ALPHABET.charAt((value << (5 - bits)) & 31) : text;
}
