/** The head of a job's page: the job, its state, the reason why it waits, and the main action. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { QueueAddress } from "../route";
import type { JobEditor, JobAction } from "../state/job-editor";
import { isOver, type Job, summaryOf } from "../state/job";
import type { OpenJob, Session } from "../state/session";
import { plural, shortId } from "../text/format";
import { asSentence, buildWords, faultWords, verdictSentence } from "../text/words";
import { CopyButton } from "./copy";
import { NotifyToggle } from "./end-notice";
import { RunTime } from "./run-time";
import { useKeys } from "./keys";
import { embedded } from "./navigation";
import { Notice } from "./notice";
import { lazy } from "./lazy";
import { StateMark } from "./state-mark";
import { Timeline } from "./timeline";
import { Visible } from "./visible";
import { WhatRuns } from "./what-runs";

const AddWorker = lazy(() => import("./add-worker").then((part) => part.AddWorker));
const Share = lazy(() => import("./share").then((part) => part.Share));

/** Interval between requests for the reason why a job waits, in milliseconds. */
const EXPLAIN_MS = 2000;

export function JobHead({ session, queue, editor }: { session: Session; queue: QueueAddress; editor: JobEditor }) {
  const open = editor.open.value;
  const job = open?.job.value ?? null;
  const summary = summaryOf(editor.definition.value);
  const known = editor.fixed.value === null || open?.definition.value !== null;
  const title = summary.command || (summary.build && `Build of ${buildWords(summary.build)}`) || summary.image || "New job";
  const sharing = useSignal(false);
  const image = summary.image || buildWords(summary.build ?? "");
  useKeys([{ key: "s", says: "Share the job", act: () => (sharing.value = true) }]);
  return (
    <div class="job-head">
      <div class="job-title">
        <h1 class={editor.blank.value ? "job-command none" : "job-command"}>
          {known ? <Visible text={title} /> : `Job ${shortId(editor.id.value)}`}
        </h1>
        <div class="actions">
          <NotifyToggle job={job} />
          <button type="button" class="quiet" onClick={() => (sharing.value = true)}>
            Share
          </button>
          {session.may("submit") && !editor.missing && <MainAction editor={editor} job={job} />}
        </div>
      </div>
      {known && !editor.blank.value && <Shown editor={editor} job={job} defaultImage={session.defaultImage.value} />}
      <div class="job-line">
        {job === null ? <NoState editor={editor} open={open} /> : <StateMark job={job} />}
        {job !== null && job.started > 0 && (
          <span class="num" title="Run time">
            <RunTime job={job} />
          </span>
        )}
        {job?.verdict?.exit_code !== undefined && job.verdict.exit_code !== null && <span>exit code {job.verdict.exit_code}</span>}
        {image && title !== image && (
          <code class="job-image">
            <Visible text={image} />
          </code>
        )}
        {!editor.blank.value && (
          <span class="job-id">
            <code title={editor.id.value}>{shortId(editor.id.value)}</code>
            <CopyButton text={editor.id.value} label="Copy the job id">
              Copy id
            </CopyButton>
          </span>
        )}
      </div>
      {job !== null && open !== null && <Verdict session={session} queue={queue} open={open} job={job} />}
      {editor.problem.value !== null && <Notice kind="error">{editor.problem.value}</Notice>}
      <Pending editor={editor} online={session.online.value} />
      {job === null && !editor.missing && <Readiness session={session} editor={editor} queue={queue} />}
      {job !== null && open !== null && !embedded && <Timeline open={open} job={job} />}
      {sharing.value && <Share session={session} editor={editor} queue={queue} onClose={() => (sharing.value = false)} />}
    </div>
  );
}

/** All that Run will run; for a job that runs or has run, only when a person opens it. */
function Shown({ editor, job, defaultImage }: { editor: JobEditor; job: Job | null; defaultImage: string }) {
  // The hub adds its default image to a job of the URL alone, when it is submitted.
  const added = editor.fixed.value === null ? defaultImage : "";
  const lines = <WhatRuns definition={editor.definition.value} defaultImage={added} />;
  if (job === null) return lines;
  return (
    <details class="more">
      <summary>Image and command</summary>
      {lines}
    </details>
  );
}

function NoState({ editor, open }: { editor: JobEditor; open: OpenJob | null }) {
  const words = editor.missing ? "No such job" : editor.blank.value ? "Nothing to run yet" : open?.unknown.value ? "Not run yet" : "…";
  return (
    <span class="state quiet">
      <span class="dot" aria-hidden="true" />
      {words}
    </span>
  );
}

const ACTIONS: Readonly<Record<JobAction, [now: string, doing: string]>> = {
  run: ["Run", "Submitting…"],
  again: ["Run again", "Submitting…"],
  cancel: ["Cancel job", "Cancelling…"],
  delete: ["Delete result", "Deleting…"],
};

function MainAction({ editor, job }: { editor: JobEditor; job: Job | null }) {
  const over = job !== null && isOver(job);
  const main: JobAction = job === null ? "run" : over ? "again" : "cancel";
  const problems = editor.validated.value?.problems ?? [];
  // A job that is named by an unknown id has no definition, so it can't be run.
  const impossible = main !== "cancel" && (editor.blank.value || problems.length > 0 || (editor.fixed.value !== null && job === null));
  const busy = editor.busy.value;
  const pending = editor.pending.value;
  const act = (action: JobAction) => editor.request(action);
  useKeys([
    ...(impossible ? [] : [{ key: "r", says: ACTIONS[main][0], act: () => act(main) }]),
  ]);
  return (
    <>
      {over && (
        <button type="button" class="quiet" disabled={busy !== null} onClick={() => act("delete")}>
          {busy === "delete" ? ACTIONS.delete[1] : ACTIONS.delete[0]}
        </button>
      )}
      <button
        type="button"
        class={main === "cancel" ? "danger main" : "primary main"}
        data-testid="main-action"
        disabled={impossible || busy !== null || pending === main}
        title={problems[0]?.message}
        onClick={() => act(main)}
      >
        {busy === main ? ACTIONS[main][1] : ACTIONS[main][0]}
      </button>
    </>
  );
}

/** The requested action that can't be carried out yet, with the reason. */
function Pending({ editor, online }: { editor: JobEditor; online: boolean }) {
  const action = editor.pending.value;
  if (action === null) return null;
  const waits = editor.uploading.value;
  const why = online
    ? `The job will be submitted when ${plural(waits, "input is", "inputs are")} ready.`
    : `The page is not connected to the hub. “${ACTIONS[action][0]}” will be sent when the connection is back.`;
  return (
    <Notice kind="info">
      <span>{why}</span>
      <button type="button" class="quiet" onClick={() => editor.withdraw()}>
        Discard
      </button>
    </Notice>
  );
}

/** The hub's assessment of a job that has not run: its problems, or the workers that can run it. */
function Readiness({ session, editor, queue }: { session: Session; editor: JobEditor; queue: QueueAddress }) {
  const found = editor.validated.value;
  if (found === null || editor.blank.value) return null;
  const problems = found.problems ?? [];
  if (problems.length > 0) {
    return (
      <Notice kind="error">
        {problems.length === 1 ? asSentence(problems[0]?.message ?? "") : `${plural(problems.length, "setting is", "settings are")} invalid; see below.`}
      </Notice>
    );
  }
  const missing = found.missing_blobs?.length ?? 0;
  if (missing > 0) return <Notice kind="error">{`The hub does not have ${plural(missing, "input file")} of this job. Add ${missing === 1 ? "it" : "them"} again under Inputs.`}</Notice>;
  if ((found.able ?? 0) > 0) return <p class="muted">{plural(found.able ?? 0, "worker")} can run this job.</p>;
  return (
    <>
      <p class="warn-text">{`The job would wait: ${found.why || "no connected worker can run it"}.`}</p>
      <AddWorker session={session} queue={queue} />
    </>
  );
}

function Verdict({ session, queue, open, job }: { session: Session; queue: QueueAddress; open: OpenJob; job: Job }) {
  const waiting = job.state === "Queued";
  const online = session.online.value;
  useEffect(() => {
    if (!waiting || !online) return undefined;
    const ask = () => {
      if (!document.hidden) session.explain(open).catch(() => undefined);
    };
    ask();
    const timer = setInterval(ask, EXPLAIN_MS);
    return () => clearInterval(timer);
  }, [waiting, online, session, open]);
  const where = job.worker === "" ? "" : session.store.workerName(job.worker);
  const verdict = job.verdict;
  const why = waiting ? open.explanation.value : null;
  return (
    <>
    <p class="verdict" data-testid="verdict">
      {why === null ? verdictSentence(job, where, 1) : asSentence(why.sentence)}
      {verdict?.reason === "Error" && ` ${faultWords(verdict.fault)}`}
      {verdict?.hint && <span class="hint"> {asSentence(verdict.hint)}</span>}
    </p>
      {job.back !== "" && !waiting && <p class="muted">{asSentence(`${job.back}, so the job ${verdict === null ? "runs" : "ran"} again`)}</p>}
      {why !== null && (why.able ?? 0) === 0 && <AddWorker session={session} queue={queue} />}
    </>
  );
}
