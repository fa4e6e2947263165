/** The page of one job, which the URL contains or names by its id: state, log, outputs, inputs and settings. */

import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo } from "preact/hooks";
import { writeHash } from "../job/address";
import { lineHref, outputHref, type Params, type QueueAddress, queueHref, queueParam, queueUrl, startHref } from "../route";
import { sentence } from "../protocol/errors";
import { JobEditor } from "../state/job-editor";
import { JobFiles } from "../state/job-files";
import type { Job } from "../state/job";
import type { OpenJob, Session } from "../state/session";
import { shortId } from "../text/format";
import { stateWords, tone } from "../text/words";
import { droppedFiles } from "../files/dropped";
import { JobHead } from "./job-head";
import { lazy } from "./lazy";
import type { LogOffers } from "./log-view";
import { useEndNotice } from "./end-notice";
import { showIcon } from "./icon";
import { clickToRun, embedded, follow, rewrite, route } from "./navigation";
import { Notice } from "./notice";

const loadLog = () => import("./log-view").then((part) => part.LogView);
const LogView = lazy(loadLog);
const Inputs = lazy(() => import("./inputs").then((part) => part.Inputs));
const Outputs = lazy(() => import("./outputs").then((part) => part.Outputs));
const Runs = lazy(() => import("./runs").then((part) => part.Runs));
const Settings = lazy(() => import("./settings").then((part) => part.Settings));

export interface JobPageProps {
  session: Session;
  queue: QueueAddress;
  /** The parameters of a URL that contains the definition, or the id of a job that the URL names. */
  given: { params: Params } | { id: string; line?: number | undefined };
}

/** Namespace of an embedded page, in which a newer job of the page replaces the older one. */
const NAMESPACE = embedded ? `page-${Math.random().toString(36).slice(2, 12)}` : "";

export function JobPage({ session, queue, given }: JobPageProps) {
  const editor = useMemo(() => {
    const made = new JobEditor({
      session,
      namespace: NAMESPACE,
      clickToRun,
      embedded,
      write: (params, push) => rewrite(`${startHref}${writeHash(withQueue(params, queue))}`, push),
    });
    take(made, given, queue);
    return made;
  }, [session, queue.hub, queue.name]);
  const jobFiles = useMemo(() => new JobFiles(editor, session, queue.hub), [editor, session, queue.hub]);
  useEffect(() => void loadLog().catch(() => undefined), []); // while the page connects; a failure is shown in its place
  useEffect(() => {
    editor.start();
    return () => editor.stop();
  }, [editor]);
  const key = "id" in given ? given.id : writeHash(given.params);
  // `given` may be older than an edit made since the last render, so the current route is read.
  useEffect(() => {
    const newest = route.peek();
    if (newest.page === "job") editor.take(newest.params);
    else if (newest.page === "result") take(editor, { id: newest.job }, queue);
  }, [editor, key]);
  useFrame(editor, jobFiles, queue);
  useGivenFiles(jobFiles);
  useSignalEffect(() => {
    const job = editor.open.value?.job.value ?? null;
    document.title = `${job === null ? "Job" : stateWords(job)} · ${shortId(editor.id.value)} · Asman`;
    showIcon(job === null ? null : tone(job));
  });
  useEffect(() => () => showIcon(null), []);

  const open = editor.open.value;
  const job = open?.job.value ?? null;
  useEndNotice(job, editor);
  const back = queueHref(queue);
  return (
    <div
      class="job-page"
      data-testid="job-detail"
      data-job={editor.id.value}
      data-state={job?.state ?? (open?.unknown.value ? "none" : "")}
      data-reason={job?.verdict?.reason ?? ""}
    >
      {!embedded && (
        <nav class="back" aria-label="Back">
          <a href={back} onClick={(event) => follow(event, back)}>
            ← All jobs
          </a>
        </nav>
      )}
      <Announcer job={job} />
      <BadParams editor={editor} />
      {editor.heldBack && (open === null || open.job.value === null) && (
        <Notice kind="info">
          This link asks to start the job by itself. On your own machine nothing starts without you: look at its image and
          command, then choose Run.
        </Notice>
      )}
      {open?.problem.value && <Notice kind="error">{open.problem.value}</Notice>}
      <JobHead session={session} queue={queue} editor={editor} />
      <div class="columns">
        <div class="column">
          {session.may("read") && <Results session={session} queue={queue} editor={editor} open={open} job={job} line={lineOf(given)} />}
        </div>
        <div class="column">
          {editor.missing ? null : session.may("submit") ? (
            <>
              <Inputs editor={editor} jobFiles={jobFiles} />
              <Settings editor={editor} defaultImage={session.defaultImage.value} />
            </>
          ) : (
            <p class="muted">
              This link does not let you run jobs.
            </p>
          )}
        </div>
      </div>
    </div>
  );
}

function take(editor: JobEditor, given: JobPageProps["given"], queue: QueueAddress): void {
  if ("id" in given) editor.takeJob(given.id, new Map([["queue", queueParam(queue)]]));
  else editor.take(given.params);
}

function withQueue(params: Params, queue: QueueAddress): Params {
  return params.has("queue") || params.has("queueOverride") ? params : new Map([...params, ["queue", queueParam(queue)]]);
}

/** Adds files that are dropped or pasted anywhere on the page, which a browser would otherwise open. */
function useGivenFiles(jobFiles: JobFiles): void {
  useLayoutEffect(() => {
    const take = (event: DragEvent | ClipboardEvent) => {
      const data = event instanceof DragEvent ? event.dataTransfer : event.clipboardData;
      if (event.defaultPrevented || data === null || data.files.length === 0) return;
      event.preventDefault();
      void droppedFiles(data).then((found) => jobFiles.add(found));
    };
    const over = (event: DragEvent) => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    };
    document.addEventListener("dragover", over);
    document.addEventListener("drop", take);
    document.addEventListener("paste", take);
    return () => {
      document.removeEventListener("dragover", over);
      document.removeEventListener("drop", take);
      document.removeEventListener("paste", take);
    };
  }, [jobFiles]);
}

/** Connects to the parent page if this page is embedded; the code for it is loaded only then. */
function useFrame(editor: JobEditor, jobFiles: JobFiles, queue: QueueAddress): void {
  useEffect(() => {
    if (!embedded) return undefined;
    let leave = () => undefined as void;
    let gone = false;
    void import("../metaframe/frame").then(
      ({ joinParent }) => {
        if (!gone) leave = joinParent({ editor, jobFiles, queue });
      },
      (error: unknown) => {
        editor.problem.value = `Values can't be piped in or out, as a part of the page could not be loaded: ${sentence(error)}`;
      },
    );
    return () => {
      gone = true;
      leave();
    };
  }, [editor, jobFiles, queue.hub, queue.name]);
}

function lineOf(given: JobPageProps["given"]): number | null {
  return ("id" in given ? given.line : undefined) ?? null;
}

function Results(props: { session: Session; queue: QueueAddress; editor: JobEditor; open: OpenJob | null; job: Job | null; line: number | null }) {
  const { session, queue, editor, open, job } = props;
  if (open === null || job === null) {
    return (
      <section aria-labelledby="log-title">
        <h2 id="log-title">Log</h2>
        <p class="empty placeholder">{placeholder(editor, open, session.online.value)}</p>
      </section>
    );
  }
  return (
    <>
      <LogView key={open.id} log={open.log} offers={offersOf(session, queue, open.id)} job={job} endAsked={open.endAsked} line={props.line} />
      {job.state === "Finished" && (
        <Outputs hub={queue.hub} job={job} result={open.result.value} href={(path) => outputHref(queue, job.id, path)} />
      )}
      {job.run > 1 && <Runs session={session} queue={queue} job={job} />}
    </>
  );
}

function offersOf(session: Session, queue: QueueAddress, job: string): LogOffers {
  return {
    lineHref: (line) => lineHref(queue, job, line),
    firstError: async () => (await session.ask("summarise", { job })).error_seq ?? null,
    wholeText: async () => {
      const answer = await fetch(`${queueUrl(queue)}/jobs/${job}/log`, { headers: { Accept: "text/plain" } });
      if (!answer.ok) throw new Error(answer.statusText);
      return await answer.text();
    },
  };
}

function placeholder(editor: JobEditor, open: OpenJob | null, online: boolean): string {
  if (editor.blank.value) return "Enter an image, a command, or both in the settings.";
  if (!online) return "The job appears when the page is connected to the hub.";
  if (open === null || !open.unknown.value) return "Loading the job…";
  if (editor.params.value.autostart && editor.awaitsValues.value)
    return "The job starts by itself with the first values that the page around it pipes in. Run starts it now.";
  return editor.fixed.value === null
    ? "This job has not run in this queue. Its log and outputs appear here when it runs."
    : "This queue has no such job. The job was deleted, its result is no longer kept, or the link is wrong.";
}

/** Announces each change of state to screen readers, once. */
function Announcer({ job }: { job: Job | null }) {
  const words = job === null ? "" : `Job state: ${stateWords(job)}`;
  return (
    <p class="offscreen" role="status" aria-live="polite">
      {words}
    </p>
  );
}

function BadParams({ editor }: { editor: JobEditor }) {
  const { problems } = editor.params.value;
  const shown = useSignal(true);
  const names = useComputed(() => editor.params.value.problems.map(({ name }) => name));
  if (problems.length === 0 || !shown.value) return null;
  const drop = () => {
    const params = new Map(editor.raw.value);
    for (const name of names.value) params.delete(name);
    rewrite(`${startHref}${writeHash(params)}`, true);
  };
  return (
    <Notice kind="error">
      <span>
        {problems.map(({ name, why }) => (
          <span key={name} class="block">
            The parameter <code>{name}</code> in this URL can't be used: {why}.
          </span>
        ))}
      </span>
      <button type="button" onClick={drop}>
        Continue without {problems.length === 1 ? "it" : "them"}
      </button>
      <a href={startHref}>Start page</a>
    </Notice>
  );
}

