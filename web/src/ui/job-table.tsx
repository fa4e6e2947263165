/** The jobs of a queue, newest first. Each row listens to its own job only. */

import { useEffect, useState } from "preact/hooks";
import { sentence } from "../protocol/errors";
import { jobHref, type QueueAddress } from "../route";
import { now } from "../state/clock";
import { type Job, runTime } from "../state/job";
import type { Session } from "../state/session";
import { clock, duration, fullTime, shortId, ticking } from "../text/format";
import { follow, go } from "./navigation";
import { Notice } from "./notice";
import { StateMark } from "./state-mark";

const ROWS = 100;

export function JobTable({ session, queue }: { session: Session; queue: QueueAddress }) {
  const { store } = session;
  const [rows, setRows] = useState(ROWS);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const order = store.order.value;
  const hidden = order.length > rows;

  const more = async () => {
    setProblem(null);
    if (!hidden) {
      setBusy(true);
      try {
        await session.loadMore();
      } catch (error) {
        setProblem(sentence(error));
      }
      setBusy(false);
    }
    setRows(rows + ROWS);
  };

  return (
    <section aria-labelledby="jobs-title">
      <h2 id="jobs-title">Jobs</h2>
      {order.length === 0 ? (
        <p class="empty">{emptySentence(session)}</p>
      ) : (
        <table class="jobs" role="table">
          <thead role="rowgroup">
            <tr role="row">
              {["State", "Job", "Worker", "Queued", "Started", "Finished", "Ran for", "Exit"].map((name) => (
                <th key={name} scope="col" role="columnheader" class={`h-${name.toLowerCase().replace(" ", "-")}`}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody role="rowgroup">
            {order.slice(0, rows).map((id) => (
              <JobRow key={id} id={id} session={session} queue={queue} />
            ))}
          </tbody>
        </table>
      )}
      {problem !== null && <Notice kind="error">{problem}</Notice>}
      {(hidden || store.more.value) && (
        <button type="button" class="load-more" disabled={busy} onClick={() => void more()}>
          {busy ? "Loading…" : "Show older jobs"}
        </button>
      )}
    </section>
  );
}

function emptySentence(session: Session): string {
  if (session.store.listed.value) return "No jobs yet. Run one above, or from the command line.";
  return session.status.value.kind === "open" ? "Loading the jobs…" : "The jobs appear when the hub is connected.";
}

function JobRow({ id, session, queue }: { id: string; session: Session; queue: QueueAddress }) {
  const { store } = session;
  const job = store.job(id)?.value;
  const bare = job !== undefined && job.summary === null;
  useEffect(() => {
    if (bare) session.wantSummary(id);
  }, [bare, id, session]);
  if (job === undefined) return null;
  const href = jobHref(queue, id);
  const command = job.summary?.command ?? "";
  const image = job.summary?.image || (job.summary?.build ? `build of ${job.summary.build}` : "");
  const open = (event: MouseEvent) => {
    // The whole row is a target for the mouse; the keyboard has the link. A person who selects text is not clicking.
    if (event.defaultPrevented || (event.target as Element).closest("a, button") || getSelection()?.toString()) return;
    if (event.metaKey || event.ctrlKey) window.open(href);
    else go(href);
  };
  return (
    <tr role="row" data-testid="job-row" data-job={id} data-state={job.state} data-reason={job.verdict?.reason ?? ""} onClick={open}>
      <td role="cell" class="c-state">
        <StateMark job={job} />
      </td>
      <td role="cell" class="c-job">
        <a href={href} onClick={(event) => follow(event, href)} title={command} class={command === "" ? "none" : ""}>
          {command || (bare ? shortId(id) : "The image's own command")}
        </a>
        <span class="sub">
          <code>{shortId(id)}</code>
          {image && <span>{image}</span>}
        </span>
      </td>
      <td role="cell" class="c-worker">
        {job.worker ? store.workerName(job.worker) : <span class="muted">–</span>}
      </td>
      <Time time={job.queued} name="queued" />
      <Time time={job.started} name="started" />
      <Time time={job.finished} name="finished" />
      <td role="cell" class="c-duration num">
        <RunTime job={job} />
      </td>
      <td role="cell" class="c-exit num">
        {job.verdict?.exit_code ?? <span class="muted">–</span>}
      </td>
    </tr>
  );
}

function Time({ time, name }: { time: number; name: string }) {
  return (
    <td role="cell" class={`c-time c-${name} num`}>
      {time === 0 ? (
        <span class="muted">–</span>
      ) : (
        <time dateTime={new Date(time).toISOString()} title={fullTime(time)}>
          {clock(time, Date.now())}
        </time>
      )}
    </td>
  );
}

/** How long a job ran; while it runs, this alone is drawn again each second. */
export function RunTime({ job }: { job: Job }) {
  const running = job.state === "Running";
  const ms = runTime(job, running ? now.value : 0);
  if (ms === null) return <span class="muted">–</span>;
  return <span>{running ? ticking(ms) : duration(ms)}</span>;
}
