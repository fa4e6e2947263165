/**
 * Connects the page to the parent page that embeds it: piped-in values become inputs of the job, the job's outputs are
 * piped out, and each change of the URL is reported to the parent.
 */

import { effect, untracked } from "@preact/signals";
import { JsonRpcMethodsFromChild, Metaframe, MetaframeLoadingState } from "@metapages/metapage";
import { keptAt } from "../files/elsewhere";
import { STDERR, STDOUT } from "../protocol/messages";
import type { DataRef, OutputFile } from "../protocol/messages";
import { resultUrl } from "../job/identity";
import { outputHref, type QueueAddress } from "../route";
import type { JobEditor } from "../state/job-editor";
import type { JobFiles } from "../state/job-files";
import type { Job } from "../state/job";
import type { OpenJob } from "../state/session";
import { sentence } from "../protocol/errors";
import { needsValues } from "./expected";
import { askUntilAnswered } from "./handshake";
import { fileUrl, inputName, pipedJob, refOf } from "./values";

export interface Joined {
  editor: JobEditor;
  jobFiles: JobFiles;
  queue: QueueAddress;
}

/** Time that a click on Run waits for a parent page to answer, in milliseconds; an ordinary page never does. */
const PATIENCE_MS = 1500;
/** Time that a start without a click waits for it, in milliseconds; a parent that pipes values names its frames. */
const NAMED_PATIENCE_MS = 10_000;
/** Time that such a start waits for values after the answer, in milliseconds; a job that needs values waits on. */
const FIRST_VALUES_MS = 3000;

/** Connects to the parent page; returns a function that disconnects. */
export function joinParent(joined: Joined): () => void {
  const { editor } = joined;
  const frame = new Metaframe();
  // Values are received unconverted, as `refOf` makes refs of every form in one place.
  frame.isInputOutputBlobSerialization = false;

  // A click must not run the job before the parent could tell its inputs: it would be a different job.
  editor.uploading.value += 1;
  let waits = true;
  const begin = () => {
    if (waits) editor.uploading.value -= 1;
    waits = false;
  };
  const timer = setTimeout(begin, PATIENCE_MS);
  const start = () => void (editor.awaitsValues.value = false);
  const startWithoutValues = () => {
    if (!needsValues(editor.raw.peek().get("definition"), editor.definition.peek())) start();
  };
  const named = frame.id !== "";
  let patience = named ? setTimeout(startWithoutValues, NAMED_PATIENCE_MS) : setTimeout(start, PATIENCE_MS);
  const inputs = takeInputs(frame, joined);
  const take = async () => {
    if (await inputs.take()) start();
  };
  frame.onInputs(() => void take());
  const answered = askUntilAnswered({
    isConnected: () => frame.isConnected(),
    ask: () => {
      // Before its page has loaded, the frame does not listen to an answer.
      if (frame._state === MetaframeLoadingState.WaitingForPageLoad) return;
      frame.sendRpc(JsonRpcMethodsFromChild.SetupIframeClientRequest, { version: Metaframe.version });
    },
  });
  void frame.connected().then(async () => {
    clearTimeout(patience);
    await take();
    begin();
    patience = setTimeout(startWithoutValues, FIRST_VALUES_MS);
  });
  const stop = sendOutputs(frame, joined);
  return () => {
    clearTimeout(timer);
    clearTimeout(patience);
    answered();
    begin();
    stop();
    frame.dispose();
  };
}

/**
 * Turns all values piped in so far into inputs; unchanged values are not uploaded again.
 *
 * `take` tells whether there are values, and all of them can be used.
 */
function takeInputs(frame: Metaframe, { editor, jobFiles }: Joined) {
  const known = new Map<string, { value: unknown; ref: DataRef | null }>();
  let turn = 0;
  const take = async (): Promise<boolean> => {
    turn += 1;
    const mine = turn;
    const piped = { ...frame.getInputs() } as Record<string, unknown>;
    setJob(editor, piped);
    editor.uploading.value += 1;
    try {
      const refs: Record<string, DataRef> = {};
      for (const [pipe, value] of Object.entries(piped)) {
        const name = inputName(pipe);
        if (name === null) continue;
        const before = known.get(name);
        const ref = before !== undefined && before.value === value ? before.ref : await refOf(value, (blob) => jobFiles.store(blob));
        known.set(name, { value, ref });
        if (ref !== null) refs[name] = ref;
      }
      if (mine === turn && JSON.stringify(refs) !== JSON.stringify(editor.piped.peek())) editor.piped.value = refs;
      return mine === turn && Object.values(piped).some((value) => value !== undefined && value !== null);
    } catch (error) {
      jobFiles.problem.value = `The values piped in could not be used: ${sentence(error)}`;
      return false;
    } finally {
      editor.uploading.value -= 1;
    }
  };
  return { take };
}

/** Replaces the job by a piped-in definition, if the URL allows it. */
function setJob(editor: JobEditor, piped: Record<string, unknown>): void {
  if (!editor.params.peek().allowSetJob) return;
  const job = pipedJob(piped);
  if (job === null || JSON.stringify(job) === JSON.stringify(editor.params.peek().job)) return;
  editor.edit("piped job", (draft) => ({ ...draft, job }));
}

/** Pipes out the outputs of a finished job, once for each run, and removes those of an earlier job. */
function sendOutputs(frame: Metaframe, { editor, queue }: Joined): () => void {
  let sent = "";
  let names: string[] = [];
  return effect(() => {
    const open = editor.open.value;
    const job = open?.job.value ?? null;
    const result = open?.result.value ?? null;
    if (open === null || job === null || job.state !== "Finished" || result === null || editor.id.value !== job.id) return;
    const { allowSetJob, resolveRefs } = editor.params.value;
    if (allowSetJob && !isWhole(open, job)) return;
    const run = `${job.id} ${job.queued} ${resolveRefs}`;
    if (sent === run) return;
    sent = run;
    const files = result.outputs ?? {};
    untracked(() => {
      void valuesOf(files, resolveRefs, queue, job.id).then(
        (values) => {
          // The page may show another job by now; then these outputs must not be piped out.
          if (sent !== run || editor.id.peek() !== job.id) return;
          if (allowSetJob) values["job/result.json"] = resultOf(open, job, queue, editor.links);
          const gone = names.filter((name) => !(name in values)).map((name) => [name, undefined] as const);
          names = Object.keys(values);
          void frame.setOutputs({ ...Object.fromEntries(gone), ...values });
        },
        (error: unknown) => {
          sent = "";
          editor.problem.value = `The job's outputs could not be piped out: ${sentence(error)}`;
        },
      );
    });
  });
}

async function valuesOf(
  files: Record<string, OutputFile>,
  whole: boolean,
  queue: QueueAddress,
  job: string,
): Promise<Record<string, unknown>> {
  const values: Record<string, unknown> = {};
  for (const [path, file] of Object.entries(files)) {
    // A file at an address that the worker chose is piped out as this address, so that the parent decides about it.
    if (!whole || keptAt(file.ref, queue.hub) !== null) {
      values[path] = pipedRef(file.ref, queue.hub);
      continue;
    }
    const answer = await fetch(outputHref(queue, job, path));
    if (!answer.ok) throw new Error(`${path} could not be fetched (HTTP status ${answer.status})`);
    values[path] = await fileUrl(path.split("/").at(-1) ?? path, file.media_type ?? "application/octet-stream", await answer.blob());
  }
  return values;
}

/** Returns a ref that means the same to a frame of another origin: a key, which only the hub knows, as an address. */
function pipedRef(ref: DataRef, hub: string): DataRef {
  if (ref.type === "key") return { type: "url", value: `${hub}/f/${String(ref.value)}` };
  if (ref.type !== "url" || !URL.canParse(String(ref.value), hub)) return ref;
  return { ...ref, value: new URL(String(ref.value), hub).href };
}

/** Whether all lines of the job's log are here that can be had. */
function isWhole(open: OpenJob, job: Job): boolean {
  const arrived = open.log.next.value >= (job.verdict?.lines ?? 0) || open.endAsked;
  return open.log.version.value >= 0 && arrived && open.log.hole() === null;
}

/** A line of the log in `job/result.json`: its text and end, as written, its time, and `true` if it is of standard error. */
type PipedLine = [text: string, ms: number] | [text: string, ms: number, isStderr: true];

function resultOf(open: OpenJob, job: Job, queue: QueueAddress, links: string) {
  const text = (stream: number): PipedLine[] =>
    Array.from(open.log.written(stream), ([text, time]) => (stream === STDERR ? [text, time, true] : [text, time]));
  const verdict = job.verdict;
  return {
    stdout: text(STDOUT),
    stderr: text(STDERR),
    statusCode: verdict?.exit_code ?? null,
    error: verdict?.ok || verdict?.reason === "Failed" ? null : verdict?.message || verdict?.reason || null,
    duration: verdict?.duration ?? 0,
    isTimedOut: verdict?.reason === "TimedOut",
    url: resultUrl(queue.hub, job.id, links),
  };
}
