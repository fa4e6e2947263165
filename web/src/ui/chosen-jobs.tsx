/** The jobs that a person selected in the table, and what can be done with all of them. */

import { useSignal } from "@preact/signals";
import type { OutputFile } from "../protocol/messages";
import type { ZipEntry } from "../extra/zip";
import { keptAt } from "../files/elsewhere";
import { knownSize } from "../files/known-size";
import { outputHref, type QueueAddress, queueUrl } from "../route";
import { isOver, type Job } from "../state/job";
import type { Session } from "../state/session";
import { plural, shortId } from "../text/format";
import { Notice } from "./notice";
import { useProblem } from "./submit-form";

/** Most jobs that one click acts on, to limit the effect of a mistake. */
const MOST = 500;
/** Number of requests on their way at once. */
const AT_ONCE = 8;
/** Most files in one archive. */
const MOST_FILES = 10_000;

interface Props {
  session: Session;
  queue: QueueAddress;
  /** The selected jobs that are listed, in the order of the list. */
  ids: readonly string[];
  /** Number of selected jobs, listed or not. */
  total: number;
  /** Takes jobs from the selection. */
  onDone: (ids: readonly string[]) => void;
  onClear: () => void;
}

export function ChosenJobs({ session, queue, ids, total, onDone, onClear }: Props) {
  const busy = useSignal<string | null>(null);
  const problem = useProblem(session);
  const said = useSignal<string | null>(null);
  /** Whether a second click deletes. */
  const sure = useSignal(false);
  const those = (wanted: (job: Job) => boolean) =>
    ids.filter((id) => {
      const job = session.store.job(id)?.value;
      return job !== undefined && wanted(job);
    }).slice(0, MOST);
  const live = those((job) => !isOver(job));
  const over = those((job) => job.state === "Finished");
  const failed = those((job) => job.state === "Finished" && job.verdict?.ok === false);
  const off = busy.value !== null || !session.online.value;

  const each = async (doing: string, some: readonly string[], act: (id: string) => Promise<unknown>, done: string) => {
    busy.value = doing;
    problem.say(null);
    said.value = null;
    sure.value = false;
    const ended: string[] = [];
    let why: unknown = null;
    let failures = 0;
    await inTurns(some, async (id) => {
      try {
        await act(id);
        ended.push(id);
      } catch (error) {
        why ??= error;
        failures += 1;
      }
    });
    busy.value = null;
    if (failures > 0) problem.tell(why, `${plural(failures, "job")} could not be ${done}: `);
    if (ended.length > 0) said.value = `${plural(ended.length, "job")} ${done}.`;
    onDone(ended);
  };
  const again = async (id: string) => {
    const { definition } = await session.ask("get", { job: id });
    await session.submit(definition, { reuse: "never" });
  };
  const save = async () => {
    busy.value = "Downloading…";
    problem.say(null);
    said.value = null;
    try {
      const left = await saveJobs(session, queue, over, (bytes) => (busy.value = `Downloading… ${Math.round(bytes / 2 ** 20)} MiB`));
      if (left > 0) said.value = `${plural(left, "file is", "files are")} kept elsewhere and not in the archive.`;
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) problem.tell(error);
    }
    busy.value = null;
  };
  if (total === 0 && problem.words.value === null && said.value === null) return null;
  return (
    <>
      {problem.words.value !== null && <Notice kind="error">{problem.words.value}</Notice>}
      {total === 0 ? (
        <Notice kind="info">{said.value}</Notice>
      ) : (
        <div class="chosen" role="status" data-testid="chosen">
          <span>{busy.value ?? `${plural(total, "job")} selected`}</span>
          {live.length > 0 && (
            <button type="button" class="danger" disabled={off} onClick={() => void each("Cancelling…", live, (id) => session.cancel(id), "cancelled")}>
              Cancel {plural(live.length, "job")}
            </button>
          )}
          {failed.length > 0 && failed.length < over.length && (
            <button type="button" disabled={off} onClick={() => void each("Submitting…", failed, again, "submitted again")}>
              Retry {failed.length} failed
            </button>
          )}
          {over.length > 0 && (
            <>
              <button type="button" disabled={off} onClick={() => void each("Submitting…", over, again, "submitted again")}>
                {failed.length === over.length ? "Retry" : "Run"} {plural(over.length, "job")}
                {failed.length < over.length && " again"}
              </button>
              <button type="button" disabled={off} onClick={() => void save()}>
                Download {plural(over.length, "result")}
              </button>
              <button
                type="button"
                class="danger"
                disabled={off}
                onBlur={() => (sure.value = false)}
                onClick={() => {
                  if (sure.value) void each("Deleting…", over, (id) => session.remove(id), "deleted");
                  else sure.value = true;
                }}
              >
                {sure.value ? `Delete ${plural(over.length, "job")} for good?` : `Delete ${plural(over.length, "job")}`}
              </button>
            </>
          )}
          <button type="button" class="quiet" onClick={onClear}>
            Clear selection
          </button>
        </div>
      )}
    </>
  );
}

/** Runs an action for each id, a few at a time. */
async function inTurns(ids: readonly string[], act: (id: string) => Promise<void>): Promise<void> {
  const waiting = [...ids].reverse();
  const worker = async () => {
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) await act(id);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** Saves logs and outputs of jobs as one archive; returns how many files are kept elsewhere, and are not in it. */
async function saveJobs(session: Session, queue: QueueAddress, ids: readonly string[], onProgress: (bytes: number) => void): Promise<number> {
  const { saveZip } = await import("../extra/zip");
  const files: ZipEntry[] = [];
  let elsewhere = 0;
  await inTurns(ids, async (id) => {
    const { result } = await session.ask("get", { job: id });
    files.push({ path: `${shortId(id)}/log.txt`, href: `${queueUrl(queue)}/jobs/${id}/log`, size: undefined, accept: "text/plain" });
    for (const [path, file] of Object.entries<OutputFile>(result?.outputs ?? {})) {
      if (keptAt(file.ref, queue.hub) === null) {
        files.push({ path: `${shortId(id)}/outputs/${path}`, href: outputHref(queue, id, path), size: knownSize(file) ?? undefined });
      } else elsewhere += 1;
    }
  });
  if (files.length > MOST_FILES) throw new Error(`These jobs have ${files.length} files, and an archive can have ${MOST_FILES}. Select fewer jobs.`);
  await saveZip(`${ids.length}-jobs.zip`, files, onProgress);
  return elsewhere;
}
