/** Tells a size of 0 bytes from one that nobody knows. */

import type { OutputFile } from "../protocol/messages";

/** The sha256 of an empty file. */
const OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Returns the size of an output in bytes, or null if it is unknown: a worker may name a file that it never had. */
export function knownSize(file: OutputFile): number | null {
  const elsewhere = file.ref.type === "key" || file.ref.type === "url";
  return file.size === 0 && elsewhere && file.sha256 !== OF_NOTHING ? null : file.size;
}
