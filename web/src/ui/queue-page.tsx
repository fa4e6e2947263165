/** A queue: its workers, its jobs, and a way to run one. */

import { useEffect } from "preact/hooks";
import type { QueueAddress } from "../route";
import type { Session } from "../state/session";
import { shortQueue } from "../text/format";
import { JobTable } from "./job-table";
import { SubmitForm } from "./submit-form";
import { WorkerTable } from "./worker-table";

export function QueuePage({ session, queue }: { session: Session; queue: QueueAddress }) {
  useEffect(() => {
    session.leave();
    document.title = `${shortQueue(queue.name)} · Asman`;
  }, [session, queue.name]);
  return (
    <>
      <h1 class="offscreen">Queue {shortQueue(queue.name)}</h1>
      <WorkerTable session={session} queue={queue} />
      <SubmitForm session={session} queue={queue} />
      <JobTable session={session} queue={queue} />
    </>
  );
}
