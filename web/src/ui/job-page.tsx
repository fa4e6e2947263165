/** One job: what became of it, its log, its outputs and its definition. */

import { useSignalEffect } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { sentence } from "../protocol/errors";
import { jobHref, type QueueAddress, queueHref } from "../route";
import { now } from "../state/clock";
import { isOver, type Job, waitTime } from "../state/job";
import type { OpenJob, Session } from "../state/session";
import { clock, duration, fullTime, shortId, ticking } from "../text/format";
import { faultWords, PHASE_WORDS, stateWords, verdictSentence } from "../text/words";
import { CopyButton } from "./copy";
import { DefinitionView } from "./definition-view";
import { RunTime } from "./job-table";
import { LogView } from "./log-view";
import { follow } from "./navigation";
import { Notice } from "./notice";
import { Outputs } from "./outputs";
import { StateMark } from "./state-mark";

export function JobPage({ session, queue, id }: { session: Session; queue: QueueAddress; id: string }) {
  const [open] = useState(() => session.open(id));
  useEffect(() => {
    // A page that is drawn again after another job was open opens its own once more.
    session.open(id);
  }, [session, id]);
  useSignalEffect(() => {
    const job = open.job.value;
    document.title = `${job === null ? "Job" : stateWords(job)} · ${shortId(id)} · Asman`;
  });
  const job = open.job.value;
  const back = queueHref(queue);
  return (
    <div data-testid="job-detail" data-job={id} data-state={job?.state ?? ""} data-reason={job?.verdict?.reason ?? ""}>
      <nav class="back">
        <a href={back} onClick={(event) => follow(event, back)}>
          ← All jobs
        </a>
      </nav>
      {open.problem.value !== null && <Notice kind="error">{open.problem.value}</Notice>}
      {job === null ? (
        open.problem.value === null && <p class="empty">{loadingSentence(session)}</p>
      ) : (
        <Shown session={session} queue={queue} open={open} job={job} />
      )}
    </div>
  );
}

function loadingSentence(session: Session): string {
  return session.status.value.kind === "open" ? "Loading the job…" : "The job appears when the hub is connected.";
}

function Shown({ session, queue, open, job }: { session: Session; queue: QueueAddress; open: OpenJob; job: Job }) {
  const { store } = session;
  const where = job.worker === "" ? "" : store.workerName(job.worker);
  const verdict = job.verdict;
  const online = store.workers.value.filter((worker) => worker.state !== "away").length;
  const command = job.summary?.command ?? "";
  return (
    <>
      <div class="job-head">
        <h1>
          <span class={command === "" ? "job-command none" : "job-command"}>{command || "The image's own command"}</span>
        </h1>
        <div class="job-line">
          <StateMark job={job} />
          <span class="num">
            <RunTime job={job} />
          </span>
          {job.summary?.image && <code>{job.summary.image}</code>}
          <code title={job.id}>{shortId(job.id)}</code>
          <CopyButton text={new URL(jobHref(queue, job.id), location.href).href} label="Copy the address of this job">
            Copy link
          </CopyButton>
        </div>
        <p class="verdict" data-testid="verdict" aria-live="polite">
          {verdictSentence(job, where, online)}
          {verdict?.reason === "Error" && ` ${faultWords(verdict.fault)}`}
          {verdict?.hint && <span class="hint"> {verdict.hint}</span>}
        </p>
        <Actions session={session} open={open} job={job} />
      </div>
      <Timeline job={job} open={open} />
      <LogView open={open} job={job} />
      <Outputs queue={queue} open={open} job={job} />
      <DefinitionView open={open} />
    </>
  );
}

function Actions({ session, open, job }: { session: Session; open: OpenJob; job: Job }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const act = async (action: () => Promise<unknown>) => {
    setBusy(true);
    setProblem(null);
    try {
      await action();
    } catch (error) {
      setProblem(sentence(error));
    }
    setBusy(false);
  };
  const definition = open.definition.value;
  return (
    <>
      <div class="actions">
        {!isOver(job) && (
          <button type="button" class="danger" disabled={busy} onClick={() => void act(() => session.cancel(job.id))}>
            {busy ? "Cancelling…" : "Cancel"}
          </button>
        )}
        {isOver(job) && definition !== null && (
          <button type="button" disabled={busy} onClick={() => void act(() => session.submit(definition, true))}>
            {busy ? "Sending…" : "Run again"}
          </button>
        )}
      </div>
      {problem !== null && <Notice kind="error">{problem}</Notice>}
    </>
  );
}

/** When the job was queued, started and finished, and what each phase took. */
function Timeline({ job, open }: { job: Job; open: OpenJob }) {
  const phases = Object.entries(open.result.value?.phases ?? {}).filter(([, ms]) => ms > 0);
  return (
    <dl class="timeline">
      <Moment name="Queued" time={job.queued} />
      <div>
        <dt>Waited</dt>
        <dd>
          <Waited job={job} />
        </dd>
      </div>
      <Moment name="Started" time={job.started} />
      <Moment name="Finished" time={job.finished} />
      {job.attempt > 1 && (
        <div>
          <dt>Attempt</dt>
          <dd>{job.attempt}</dd>
        </div>
      )}
      {phases.map(([phase, ms]) => (
        <div key={phase} class="phase">
          <dt>{PHASE_WORDS[phase as keyof typeof PHASE_WORDS] ?? phase}</dt>
          <dd>{duration(ms)}</dd>
        </div>
      ))}
    </dl>
  );
}

function Waited({ job }: { job: Job }) {
  const waiting = job.state === "Queued";
  const ms = waitTime(job, waiting ? now.value : 0);
  if (ms === null) return <>–</>;
  return <>{waiting ? ticking(ms) : duration(ms)}</>;
}

function Moment({ name, time }: { name: string; time: number }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {time === 0 ? (
          "–"
        ) : (
          <time dateTime={new Date(time).toISOString()} title={fullTime(time)}>
            {clock(time, Date.now())}
          </time>
        )}
      </dd>
    </div>
  );
}
