/** Tells the files of a hub from those at addresses that a worker chose, which the page never loads by itself. */

import type { DataRef } from "../protocol/messages";

/**
 * Returns the host that a browser would have to ask for a file, or null if the hub itself has the file.
 *
 * A worker can name any address as an output, also one in the viewer's own network. Of addresses on the hub only those
 * of stored files count as the hub's, since others may lead on to another host.
 */
export function keptAt(ref: DataRef, hub: string): string | null {
  if (ref.type !== "url") return null;
  let url: URL;
  try {
    url = new URL(String(ref.value), hub);
  } catch {
    return "an address that can’t be read";
  }
  return url.origin === new URL(hub).origin && url.pathname.startsWith("/f/") ? null : url.host || url.protocol;
}
