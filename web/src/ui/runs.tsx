/** The runs of a job that has run several times: how, when and where each ended, and its log. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { sentence } from "../protocol/errors";
import type { Run } from "../protocol/messages";
import { type QueueAddress, queueUrl } from "../route";
import type { Job } from "../state/job";
import type { Session } from "../state/session";
import { duration, fullTime } from "../text/format";
import { reasonWords } from "../text/words";
import { Notice } from "./notice";

/** Most lines of an earlier run's log that are shown: the last ones. */
const SHOWN = 1000;

interface Opened {
  readonly run: number;
  readonly text: string | null;
}

export function Runs({ session, queue, job }: { session: Session; queue: QueueAddress; job: Job }) {
  const runs = useSignal<readonly Run[]>([]);
  const opened = useSignal<Opened | null>(null);
  const problem = useSignal<string | null>(null);
  useEffect(() => {
    let gone = false;
    session.ask("list_runs", { job: job.id }).then(
      (answer) => {
        if (!gone) runs.value = answer.runs;
      },
      (error: unknown) => {
        if (!gone) problem.value = sentence(error);
      },
    );
    return () => {
      gone = true;
    };
  }, [session, job.id, job.queued, job.state]);
  const show = async (run: number) => {
    if (opened.peek()?.run === run) {
      opened.value = null;
      return;
    }
    problem.value = null;
    opened.value = { run, text: null };
    try {
      const text = await logOf(queue, job.id, run);
      if (opened.peek()?.run === run) opened.value = { run, text };
    } catch (error) {
      opened.value = null;
      problem.value = `The log of run ${run} can't be read: ${sentence(error)}`;
    }
  };
  const earlier = runs.value.filter((run) => !run.present);
  if (earlier.length === 0 && problem.value === null) return null;
  return (
    <section aria-labelledby="runs-title" data-testid="runs">
      <h2 id="runs-title">Earlier runs</h2>
      {problem.value !== null && <Notice kind="error">{problem.value}</Notice>}
      <table class="run-table">
        <thead>
          <tr>
            {["Run", "Ended", "Exit code", "At", "Took", "Worker", "Log"].map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {earlier.map((run) => (
            <tr key={run.number}>
              <td class="num">{run.number}</td>
              <td title={run.message ?? ""}>{run.reason ? reasonWords(run.reason) : ""}</td>
              <td class="num">{run.exit_code ?? ""}</td>
              <td>{run.finished ? fullTime(run.finished) : ""}</td>
              <td class="num">{took(run)}</td>
              <td>{session.store.workerName(run.worker ?? "")}</td>
              <td>
                <LogButton run={run} open={opened.value?.run === run.number} show={show} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {opened.value !== null && (
        <pre class="run-log" data-testid="run-log" aria-label={`Log of run ${opened.value.run}`}>
          {opened.value.text ?? "Loading…"}
        </pre>
      )}
    </section>
  );
}

function LogButton({ run, open, show }: { run: Run; open: boolean; show: (run: number) => Promise<void> }) {
  const lines = (run.lines ?? 0) - (run.log_start ?? 0);
  if (run.log_kept === false) return <span class="muted">not kept</span>;
  if (lines <= 0) return <span class="muted">empty</span>;
  return (
    <button type="button" class="quiet" aria-expanded={open} onClick={() => void show(run.number)}>
      {open ? "Hide" : "Show"}
    </button>
  );
}

function took(run: Run): string {
  const ms = run.duration || (run.started && run.finished ? run.finished - run.started : 0);
  return ms > 0 ? duration(ms) : "";
}

async function logOf(queue: QueueAddress, job: string, run: number): Promise<string> {
  const answer = await fetch(`${queueUrl(queue)}/jobs/${job}/log?run=${run}&tail=${SHOWN}`, { headers: { Accept: "text/plain" } });
  if (!answer.ok) throw new Error(answer.statusText);
  return await answer.text();
}
