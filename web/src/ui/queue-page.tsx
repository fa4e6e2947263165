/** The page of a queue: a form to run a job, the workers, charts and the jobs. */

import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { QueueAddress } from "../route";
import type { Session } from "../state/session";
import { shortQueue } from "../text/format";
import { showIcon } from "./icon";
import { JobTable } from "./job-table";
import { lazy } from "./lazy";
import { Notice } from "./notice";
import { SubmitForm } from "./submit-form";
import { WorkerTable } from "./worker-table";

const ShareQueue = lazy(() => import("./share").then((part) => part.ShareQueue));
const Charts = lazy(() => import("../extra/charts").then((part) => part.Charts));

export function QueuePage({ session, queue }: { session: Session; queue: QueueAddress }) {
  const charts = useSignal(false);
  const sharing = useSignal(false);
  useEffect(() => {
    session.leave();
    document.title = `${shortQueue(queue.name)} · Asman`;
  }, [session, queue.name]);
  useSignalEffect(() => {
    const { queued, running } = session.store.counts.value;
    showIcon(running > 0 ? "active" : queued > 0 ? "waiting" : null);
  });
  useEffect(() => () => showIcon(null), []);
  return (
    <>
      <h1 class="offscreen">Queue {shortQueue(queue.name)}</h1>
      <div class="section-head">
        <span />
        <button type="button" class="quiet" onClick={() => (sharing.value = true)}>
          Share
        </button>
      </div>
      {session.online.value && session.may("read") && session.store.empty && (
        <Notice kind="info">
          This queue is empty: nobody has used it yet, or its jobs are no longer kept. Any name opens a queue, so check this
          one if you expected jobs here.
        </Notice>
      )}
      {session.may("submit") && <SubmitForm session={session} queue={queue} />}
      <WorkerTable session={session} queue={queue} />
      <details class="charts" open={charts.value} onToggle={(event) => (charts.value = event.currentTarget.open)}>
        <summary>Charts</summary>
        {charts.value && <Charts session={session} />}
      </details>
      <JobTable session={session} queue={queue} />
      {sharing.value && <ShareQueue session={session} queue={queue} onClose={() => (sharing.value = false)} />}
    </>
  );
}
