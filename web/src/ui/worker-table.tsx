/** The table of a queue's workers, with their total and used resources. */

import type { QueueAddress } from "../route";
import type { WorkerState } from "../protocol/messages";
import type { Session } from "../state/session";
import { sharesOf } from "../state/shares";
import { clock, count, size } from "../text/format";
import { asSentence } from "../text/words";
import { WorkerCommand } from "./worker-command";

const STATE_TONES = { ready: "good", draining: "warn", away: "warn", gone: "quiet" } as const;
const STATE_WORDS = { ready: "Ready", draining: "Draining", away: "Away", gone: "Gone" } as const;
const STATE_HINTS = {
  ready: "Connected and accepting jobs",
  draining: "Accepts no new jobs: it is leaving, or paused (disk full, engine without an answer)",
  away: "Connection lost; its jobs stay assigned to it for a short time",
  gone: "No longer connected",
} as const;

export function WorkerTable({ session, queue }: { session: Session; queue: QueueAddress }) {
  const workers = session.store.workers.value;
  const { work } = sharesOf(queue, session.rights.value);
  return (
    <section aria-labelledby="workers-title">
      <h2 id="workers-title">Workers</h2>
      {workers.length === 0 ? (
        <NoWorkers session={session} work={work} />
      ) : (
        <table class="workers" role="table">
          <thead role="rowgroup">
            <tr role="row">
              {["State", "Name", "CPUs", "Memory", "GPUs", "Jobs", "Since", "Version"].map((name) => (
                <th key={name} scope="col" role="columnheader">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody role="rowgroup">
            {workers.map((worker) => (
              <WorkerRow key={worker.id} worker={worker} />
            ))}
          </tbody>
        </table>
      )}
      {workers.length > 0 && work !== null && (
        <details class="more">
          <summary>Add a worker</summary>
          <WorkerCommand work={work} before="Run this" />
        </details>
      )}
    </section>
  );
}

function NoWorkers({ session, work }: { session: Session; work: QueueAddress | null }) {
  if (!session.online.value) return <p class="empty">Workers appear when the page is connected to the hub.</p>;
  if (!session.store.listed.value) return <p class="empty">Loading the workers…</p>;
  if (work === null) return <p class="empty">No worker is connected, so jobs wait.</p>;
  return (
    <div class="empty">
      <p>No worker is connected, so jobs wait.</p>
      <WorkerCommand work={work} before="To connect one, run this" />
    </div>
  );
}

function WorkerRow({ worker }: { worker: WorkerState }) {
  const { cpus = 0, used_cpus = 0, memory = 0, used_memory = 0, gpus = 0, used_gpus = 0 } = worker;
  // Earlier workers put remarks about their machine behind the name of their program.
  const [program = "", said = ""] = (worker.agent ?? "").split(/ \((.*)/s);
  const remark = worker.remark ?? said.replace(/\)$/, "");
  const about = [worker.platform, worker.executor, ...(worker.tags ?? [])].filter(Boolean).join(" · ");
  return (
    <tr role="row" data-testid="worker-row" data-worker={worker.id} data-state={worker.state}>
      <td role="cell" class="w-state">
        <span class={`state ${STATE_TONES[worker.state]}`} title={STATE_HINTS[worker.state]}>
          <span class="dot" aria-hidden="true" />
          {STATE_WORDS[worker.state]}
        </span>
      </td>
      <td role="cell" class="w-name">
        <span class="name">{worker.name || worker.id}</span> <span class="muted">{about}</span>
        {remark !== "" && <span class="warn-text block">{asSentence(remark)}</span>}
      </td>
      <td role="cell" data-label="CPUs">
        {cpus === 0 ? <span class="muted">unknown</span> : <Share used={used_cpus} all={cpus} words={`${number(used_cpus)} of ${number(cpus)}`} />}
      </td>
      <td role="cell" data-label="Memory">
        <Share used={used_memory} all={memory} words={memory === 0 ? "–" : `${used_memory === 0 ? "0" : size(used_memory)} of ${size(memory)}`} />
      </td>
      <td role="cell" data-label="GPUs">
        {gpus === 0 ? <span class="muted">–</span> : <Share used={used_gpus} all={gpus} words={`${used_gpus} of ${gpus}`} />}
      </td>
      <td role="cell" data-label="Jobs">
        {count(worker.jobs ?? 0)}
      </td>
      <td role="cell" data-label="Since" class="num" title="Connected since; disconnected workers are not listed">
        {worker.since ? clock(worker.since, Date.now()) : "–"}
      </td>
      <td role="cell" data-label="Version" class="muted w-version">
        {program || "–"}
      </td>
    </tr>
  );
}

function Share({ used, all, words }: { used: number; all: number; words: string }) {
  return (
    <span class="share">
      <span class="share-words">{words}</span>
      {all > 0 && <meter min={0} max={all} value={Math.min(used, all)} aria-hidden="true" />}
    </span>
  );
}

function number(n: number): string {
  return Number.isInteger(n) ? String(n) : n.toFixed(1);
}
