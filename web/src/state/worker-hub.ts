/** The address of a hub that the command of a new worker names. */

import { isHere, ownHub, type QueueAddress } from "../route";

/** The address that this page's hub tells workers on other machines to use; null where it is the page's own. */
const told = typeof document === "undefined" ? null : (document.querySelector<HTMLMetaElement>('meta[name="asman-for-workers"]')?.content ?? null);

export interface WorkerPlace {
  /** The queue, at an address that the worker's machine can reach. */
  queue: QueueAddress;
  /** Whether only the hub's own machine can reach it. */
  hereAlone: boolean;
}

/**
 * Where a worker of a queue connects to.
 *
 * @param work The queue, or the key for workers to it, at the address that the page uses.
 * @param hub The address that the page's hub tells; null for none.
 */
export function workerPlace(work: QueueAddress, hub = told, own = ownHub()): WorkerPlace {
  // Only a hub's own machine knows the queue `local`.
  const queue = hub !== null && work.hub === own && work.name !== "local" ? { hub, name: work.name } : work;
  return { queue, hereAlone: isHere(queue.hub) };
}
