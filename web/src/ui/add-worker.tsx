/** The command that connects a worker to a queue, where a job waits for one. */

import { type QueueAddress, queueUrl } from "../route";
import type { Session } from "../state/session";
import { sharesOf } from "../state/shares";
import { withQueue } from "../text/snippets";
import { Command } from "./copy";
import { embedded } from "./navigation";

export function AddWorker({ session, queue }: { session: Session; queue: QueueAddress }) {
  const { work } = sharesOf(queue, session.rights.value);
  if (embedded || work === null) return null;
  return (
    <div class="add-worker" data-testid="add-worker">
      <p class="muted">To add a worker, run this on a machine that can reach this hub:</p>
      <Command text={withQueue(queueUrl(work), "asman worker")} label="Copy the command that adds a worker" />
    </div>
  );
}
