/** Addresses of a queue that let others do some things, and no more. */

import { derivedKey, type KeyKind } from "../job/queue-keys";
import type { Right } from "../protocol/messages";
import type { QueueAddress } from "../route";

export interface Shares {
  /** To see its jobs, logs and outputs; null when this page has no address for that alone. */
  watch: QueueAddress | null;
  /** To see its jobs and run new ones; null when this page's address does not allow it. */
  use: QueueAddress | null;
  /** To run its jobs as a worker; null likewise. */
  work: QueueAddress | null;
  /** Whether the addresses grant less than a queue's name. */
  limited: boolean;
}

/**
 * The addresses that a page may hand on.
 *
 * @param rights The rights of the page's own address; null for a hub that knows no keys.
 */
export function sharesOf(queue: QueueAddress, rights: ReadonlySet<Right> | null): Shares {
  // The queue of the reader's own machine has another name, which the page does not know.
  if (rights === null || queue.name === "local") return { watch: null, use: queue, work: queue, limited: false };
  if (!queue.name.startsWith("~")) {
    const of = (kind: KeyKind) => ({ hub: queue.hub, name: derivedKey(queue.name, kind) });
    return { watch: of("read"), use: of("submit+read"), work: of("work"), limited: true };
  }
  const submits = rights.has("submit");
  return {
    watch: rights.has("read") && !submits ? queue : null,
    use: submits ? queue : null,
    work: rights.has("work") ? queue : null,
    limited: true,
  };
}
