/** The page of a queue: a form to run a job, the workers, charts and the jobs. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { QueueAddress } from "../route";
import type { Session } from "../state/session";
import { shortQueue } from "../text/format";
import { JobTable } from "./job-table";
import { lazy } from "./lazy";
import { SubmitForm } from "./submit-form";
import { WorkerTable } from "./worker-table";

const Charts = lazy(() => import("../extra/charts").then((part) => part.Charts));

export function QueuePage({ session, queue }: { session: Session; queue: QueueAddress }) {
  const charts = useSignal(false);
  useEffect(() => {
    session.leave();
    document.title = `${shortQueue(queue.name)} · Asman`;
  }, [session, queue.name]);
  return (
    <>
      <h1 class="offscreen">Queue {shortQueue(queue.name)}</h1>
      <SubmitForm session={session} queue={queue} />
      <WorkerTable session={session} queue={queue} />
      <details class="charts" open={charts.value} onToggle={(event) => (charts.value = event.currentTarget.open)}>
        <summary>Charts</summary>
        {charts.value && <Charts session={session} />}
      </details>
      <JobTable session={session} queue={queue} />
    </>
  );
}
