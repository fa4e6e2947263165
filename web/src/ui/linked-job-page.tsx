/** The page of one job for whoever has its link, and not its queue: all that the link shows, and nothing that changes it. */

import { useEffect, useMemo } from "preact/hooks";
import { firstError } from "../log/first-error";
import { fileHref, ownHub, startHref } from "../route";
import { type Job, summaryOf } from "../state/job";
import { LinkedJob } from "../state/linked-job";
import { duration, shortId } from "../text/format";
import { buildWords, faultWords, stateWords, tone, verdictSentence } from "../text/words";
import { CopyButton } from "./copy";
import { showIcon } from "./icon";
import { lazy } from "./lazy";
import { type LogOffers, LogView } from "./log-view";
import { Moment } from "./moment";
import { Notice } from "./notice";
import { StateMark } from "./state-mark";
import { Visible } from "./visible";
import { WhatRuns } from "./what-runs";

const Outputs = lazy(() => import("./outputs").then((part) => part.Outputs));
const InItsQueue = lazy(() => import("./start-page").then((part) => part.InItsQueue));

/** Lines are numbered as they arrive, so only those of a finished job have the same number the next time. */
function offersOf(linked: LinkedJob, path: string): LogOffers {
  return {
    lineHref: linked.standing.value === "ended" ? (line) => `${path}#?line=${line}` : null,
    firstError: async () => firstError(linked.lines.log),
    wholeText: null,
  };
}

export interface LinkedJobProps {
  job: string;
  keyed: boolean;
  /** The path of the link. */
  path: string;
  /** The number of the line of the log that the link names; null for none. */
  line: number | null;
}

export function LinkedJobPage({ job: id, keyed, path, line }: LinkedJobProps) {
  const linked = useMemo(() => new LinkedJob({ job: id, keyed, path, hub: ownHub() }), [id, keyed, path]);
  useEffect(() => {
    const seen = () => linked.see(!document.hidden);
    linked.start();
    document.addEventListener("visibilitychange", seen);
    window.addEventListener("online", seen);
    return () => {
      document.removeEventListener("visibilitychange", seen);
      window.removeEventListener("online", seen);
      linked.stop();
    };
  }, [linked]);
  const standing = linked.standing.value;
  const job = linked.job.value;
  useEffect(() => {
    const state = standing === "live" ? "Not ended yet" : job === null ? "Job" : stateWords(job);
    document.title = `${state} · ${shortId(id)} · Asman`;
    showIcon(job === null ? null : tone(job));
  }, [id, standing, job]);
  useEffect(() => () => showIcon(null), []);
  return (
    <>
      <header class="top single">
        <div class="top-row">
          <a class="wordmark" href={startHref} aria-label="Asman, start page">
            Asman
          </a>
        </div>
      </header>
      <main class="page">
        <div
          class="job-page"
          data-testid="linked-job"
          data-job={id}
          data-state={standing}
          data-reason={job?.verdict?.reason ?? ""}
        >
          <Head id={id} linked={linked} />
          {linked.problem.value !== null && <Notice kind="error">{linked.problem.value}</Notice>}
          {standing === "missing" && <Notice kind="error">{keyed ? WRONG_LINK : NO_KEY}</Notice>}
          {job !== null && <Parts linked={linked} job={job} path={path} line={line} />}
          {(standing === "missing" || job !== null) && (
            <details class="more" open={standing === "missing"}>
              <summary>Open this job in its queue</summary>
              <InItsQueue job={id} />
            </details>
          )}
        </div>
      </main>
    </>
  );
}

const WRONG_LINK =
  "The hub shows no job for this link: the job was deleted or is no longer kept, or the link is not complete. Compare it with the one that you were given, or ask for a new one.";
const NO_KEY =
  "This link names a job by its id alone, and the hub shows nothing for that. A link to read a result has a “~” and a key after the id: “Share” on the job's page makes one. Who may use the job's queue can open the job there.";

function Head({ id, linked }: { id: string; linked: LinkedJob }) {
  const job = linked.job.value;
  const definition = linked.definition.value;
  const standing = linked.standing.value;
  const summary = definition === null ? null : summaryOf(definition);
  const image = summary === null ? "" : summary.image || buildWords(summary.build ?? "");
  const title = summary === null ? "" : summary.command || image;
  return (
    <div class="job-head">
      <div class="job-title">
        <h1 class="job-command">{title === "" ? `Job ${shortId(id)}` : <Visible text={title} />}</h1>
      </div>
      <div class="job-line">
        {standing === "ended" && job !== null ? <StateMark job={job} /> : <Quiet linked={linked} />}
        {(job?.verdict?.duration ?? 0) > 0 && (
          <span class="num" title="Run time">
            {duration(job?.verdict?.duration ?? 0)}
          </span>
        )}
        {job?.verdict?.exit_code !== undefined && job.verdict.exit_code !== null && <span>exit code {job.verdict.exit_code}</span>}
        {image !== "" && title !== image && (
          <code class="job-image">
            <Visible text={image} />
          </code>
        )}
        <span class="job-id">
          <code title={id}>{shortId(id)}</code>
          <CopyButton text={id} label="Copy the job id">
            Copy id
          </CopyButton>
        </span>
      </div>
      <p class="verdict" data-testid="verdict" role="status" aria-live="polite">
        {standing === "ended" && job !== null && verdictSentence(job, job.worker, 1)}
        {standing === "ended" && job?.verdict?.reason === "Error" && ` ${faultWords(job.verdict.fault)}`}
        {standing === "live" && "The job has not ended: it waits or runs. This page looks again by itself, less and less often."}
      </p>
      {standing === "live" && (
        <p>
          <button type="button" class="quiet" disabled={linked.busy.value} onClick={() => void linked.look()}>
            Look now
          </button>
        </p>
      )}
      {job !== null && (job.queued > 0 || job.finished > 0) && (
        <div class="timeline">
          <dl>
            <Moment name="queued at" time={job.queued} />
            <Moment name="finished at" time={job.finished} />
          </dl>
        </div>
      )}
    </div>
  );
}

function Quiet({ linked }: { linked: LinkedJob }) {
  const words = { looking: "Loading the job…", missing: "No such job", live: "Not ended yet", ended: "" }[linked.standing.value];
  return (
    <span class={`state ${linked.standing.value === "live" ? "active" : "quiet"}`}>
      <span class="dot" aria-hidden="true" />
      {words}
    </span>
  );
}

function Parts({ linked, job, path, line }: { linked: LinkedJob; job: Job; path: string; line: number | null }) {
  const definition = linked.definition.value;
  const ended = linked.standing.value === "ended";
  const withResult = ended && job.finished > 0;
  return (
    <div class="columns">
      <div class="column">
        {linked.logRead.value ? (
          <LogView log={linked.lines.log} offers={offersOf(linked, path)} job={job} endAsked={true} line={line} />
        ) : (
          <section aria-labelledby="log-title">
            <h2 id="log-title">Log</h2>
            <p class="empty placeholder">Loading the log…</p>
          </section>
        )}
        {withResult && <Outputs hub={ownHub()} job={job} result={linked.result.value} href={(file) => fileHref(path, "outputs", file)} />}
      </div>
      <div class="column">
        {definition !== null && (
          <section aria-labelledby="definition-title">
            <h2 id="definition-title">Definition</h2>
            <WhatRuns definition={definition} defaultImage="" />
            <Inputs names={[...Object.keys(definition.inputs ?? {}), ...Object.keys(definition.configFiles ?? {})]} path={path} />
            <p class="small">
              As JSON: <a href={`${path}/definition.json`}>definition.json</a>
              {withResult && (
                <>
                  , <a href={`${path}/result.json`}>result.json</a>
                </>
              )}
            </p>
          </section>
        )}
      </div>
    </div>
  );
}

function Inputs({ names, path }: { names: readonly string[]; path: string }) {
  if (names.length === 0) return null;
  return (
    <details class="more">
      <summary>Inputs</summary>
      <ul class="files">
        {[...names].sort().map((name) => (
          <li key={name}>
            <a href={fileHref(path, "inputs", name)} target="_blank" rel="noopener noreferrer">
              {name}
            </a>
          </li>
        ))}
      </ul>
    </details>
  );
}
