/** The command that connects a worker to a queue, where a job waits for one. */

import type { QueueAddress } from "../route";
import type { Session } from "../state/session";
import { sharesOf } from "../state/shares";
import { embedded } from "./navigation";
import { WorkerCommand } from "./worker-command";

export function AddWorker({ session, queue }: { session: Session; queue: QueueAddress }) {
  const { work } = sharesOf(queue, session.rights.value);
  if (embedded || work === null) return null;
  return (
    <div class="add-worker" data-testid="add-worker">
      <WorkerCommand work={work} before="To add a worker, run this" />
    </div>
  );
}

/** All that there is to show for a link that only a worker can use. */
export function ForWorker({ work }: { work: QueueAddress }) {
  return (
    <div class="add-worker" data-testid="for-worker">
      <WorkerCommand work={work} before="To connect a worker with it, run this" />
    </div>
  );
}
