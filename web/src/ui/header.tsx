/** The header of every page of a queue: its name, the connection, and its counts. */

import { queueHref, type QueueAddress, queueUrl, startHref } from "../route";
import { now } from "../state/clock";
import type { Session } from "../state/session";
import { count, shortQueue } from "../text/format";
import { CopyButton } from "./copy";
import { follow } from "./navigation";

export function Header({ session, queue, counts }: { session: Session; queue: QueueAddress; counts: boolean }) {
  const home = queueHref(queue);
  return (
    <header class={counts ? "top" : "top single"}>
      <div class="top-row">
        <a class="wordmark" href={startHref} aria-label="Asman, start page">
          Asman
        </a>
        <span class="queue-name">
          <a href={home} onClick={(event) => follow(event, home)} title="All jobs of this queue">
            <span class="offscreen">Queue </span>
            {shortQueue(queue.name)}
          </a>
          <CopyButton text={queueUrl(queue)} label="Copy the queue's URL">
            Copy URL
          </CopyButton>
        </span>
        {counts && <Counts session={session} />}
        <Connection session={session} />
      </div>
      <Trouble session={session} />
    </header>
  );
}

function Counts({ session }: { session: Session }) {
  const { queued, running, finished, workers, paused } = session.store.counts.value;
  return (
    <dl class="counts">
      {paused && (
        <div data-testid="paused" title="The queue gives no jobs to workers until its owner resumes it.">
          <dt>paused</dt>
        </div>
      )}
      {(
        [
          ["queued", queued],
          ["running", running],
          ["finished", finished],
          [workers === 1 ? "worker" : "workers", workers],
        ] as const
      ).map(([name, n]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{count(n)}</dd>
        </div>
      ))}
    </dl>
  );
}

function Connection({ session }: { session: Session }) {
  const status = session.status.value;
  // Further attempts after a failure are shown as the same state, so that they are not announced each time.
  const kind = status.kind === "connecting" && status.failures > 0 ? "waiting" : status.kind;
  const words = { connecting: "connecting", open: "connected", waiting: "reconnecting", closed: "not connected" }[kind];
  return (
    <span class={`connection ${kind}`} data-testid="connection" role="status" aria-live="polite" data-status={kind}>
      {words}
    </span>
  );
}

/** The limit of the hub that requests of this page wait for. */
function Limited({ session }: { session: Session }) {
  const limited = session.limited.value;
  void now.value;
  const seconds = limited === null ? 0 : Math.ceil((limited.until - Date.now()) / 1000);
  if (limited === null || seconds <= 0) return null;
  return (
    <div class="trouble" role="status" data-testid="limited">
      <span>
        {limited.why}; waiting {seconds} s
      </span>
      <button type="button" onClick={() => session.askNow()}>
        Try now
      </button>
      <button type="button" onClick={() => session.stopAsking()}>
        Stop
      </button>
    </div>
  );
}

/** The problem with the connection and its remedy, shown after more than one failure. */
function Trouble({ session }: { session: Session }) {
  const status = session.status.value;
  if (status.kind === "closed") {
    return (
      <div class="trouble" role="alert">
        <span>{status.why}</span>
        <a href={startHref}>Start page</a>
      </div>
    );
  }
  if (status.kind === "open") return <Limited session={session} />;
  if (status.failures < 2) return null;
  void now.value;
  const seconds = status.kind === "waiting" ? Math.max(0, Math.ceil((status.retryAt - Date.now()) / 1000)) : 0;
  return (
    <div class="trouble">
      <span>
        The hub can't be reached. This page shows the last known state; jobs keep running without it.{" "}
        {navigator.onLine ? "Check that the hub is running and the URL is correct." : "This machine is offline."}
        {seconds > 0 && ` Trying again in ${seconds} s.`}
      </span>
      <button type="button" onClick={() => session.nudge()}>
        Try now
      </button>
    </div>
  );
}
