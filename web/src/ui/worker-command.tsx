/** The command that connects a worker to a queue, and the machines where it works. */

import { type QueueAddress, queueUrl } from "../route";
import { workerPlace } from "../state/worker-hub";
import { withQueue } from "../text/snippets";
import { Command } from "./copy";

/** The command itself, for a queue or the key for workers to it. */
export function workerCommand(work: QueueAddress): string {
  return withQueue(queueUrl(workerPlace(work).queue), "asman worker");
}

/** The command below a sentence that says where to run it. */
export function WorkerCommand({ work, before }: { work: QueueAddress; before: string }) {
  const { hereAlone } = workerPlace(work);
  return (
    <>
      <p class="muted">{`${before} ${hereAlone ? "on the machine of this hub" : "on a machine that can reach this hub"}:`}</p>
      <Command text={workerCommand(work)} label="Copy the command that adds a worker" />
      {hereAlone && (
        <p class="small muted">
          Other machines can't reach the hub at this address. To add one, start the hub with <code>--host 0.0.0.0</code> or{" "}
          <code>--public-url</code>, or open this page at an address that they can reach.
        </p>
      )}
    </>
  );
}
