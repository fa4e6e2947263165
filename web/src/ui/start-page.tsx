/** What a visitor sees who named no queue, or no good one. */

import { useEffect, useState } from "preact/hooks";
import { jobHref, newQueueName, parseQueue, queueHref, queueUrl } from "../route";
import { shortId } from "../text/format";
import { Command } from "./copy";
import { go } from "./navigation";
import { Notice } from "./notice";

export function StartPage({ problem }: { problem: string | null }) {
  const [made, setMade] = useState<string | null>(null);
  useEffect(() => {
    document.title = "Asman";
  }, []);
  return (
    <main class="page start">
      <h1 class="wordmark">Asman</h1>
      <p class="lead">
        Asman runs containerised jobs from a URL. A queue is a URL too: who has it can send jobs to it, watch them, and
        connect machines that run them.
      </p>
      {problem !== null && <Notice kind="error">{problem}</Notice>}
      <section aria-labelledby="open-title">
        <h2 id="open-title">Open a queue</h2>
        <QueueField label="Queue name or address" action="Open" onQueue={(queue) => go(queueHref(queue))} />
      </section>
      <section aria-labelledby="new-title">
        <h2 id="new-title">Make a new queue</h2>
        <p>Its name can't be guessed, so only those you give the link to can use it.</p>
        {made === null ? (
          <button type="button" class="primary" onClick={() => setMade(newQueueName())}>
            Make a new queue
          </button>
        ) : (
          <NewQueue name={made} />
        )}
      </section>
    </main>
  );
}

function NewQueue({ name }: { name: string }) {
  const queue = { hub: location.origin, name };
  const href = queueHref(queue);
  return (
    <>
      <ol class="steps">
        <li>
          Keep its address: it is the only key to the queue.
          <Command text={queueUrl(queue)} label="Copy the queue's address" />
        </li>
        <li>
          Connect a machine that runs its jobs:
          <Command text={`asman worker ${queueUrl(queue)}`} label="Copy the command that adds a worker" />
        </li>
        <li>
          Run something:
          <Command text={`asman run ${queueUrl(queue)} -- echo hello`} label="Copy the command that runs a job" />
        </li>
      </ol>
      <button type="button" class="primary" onClick={() => go(href)}>
        Open it
      </button>
    </>
  );
}

/** A link to a job that does not say in which queue the job is. */
export function LostJobPage({ job }: { job: string }) {
  useEffect(() => {
    document.title = `Job ${shortId(job)} · Asman`;
  }, [job]);
  return (
    <main class="page start" data-testid="lost-job">
      <h1>
        Job <code>{shortId(job)}</code>
      </h1>
      <Notice kind="info">
        This link names a job but not its queue, so it can't be shown live. Name the queue, or read what is kept:{" "}
        <a href={`/j/${job}/result.json`}>result.json</a>.
      </Notice>
      <QueueField label="Queue name or address" action="Show the job" onQueue={(queue) => go(jobHref(queue, job))} />
    </main>
  );
}

function QueueField(props: { label: string; action: string; onQueue: (queue: { hub: string; name: string }) => void }) {
  const [text, setText] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const open = (event: SubmitEvent) => {
    event.preventDefault();
    const queue = parseQueue(text, location.origin);
    if (queue !== null) props.onQueue(queue);
    else setProblem("A queue's name has 1 to 128 letters, digits, dots, “_” or “-”; or paste its whole address.");
  };
  return (
    <form class="queue-field" onSubmit={open}>
      <label>
        <span>{props.label}</span>
        <input
          name="queue"
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          value={text}
          aria-invalid={problem !== null}
          aria-describedby="queue-problem"
          onInput={(event) => {
            setText(event.currentTarget.value);
            setProblem(null);
          }}
        />
      </label>
      <button type="submit">{props.action}</button>
      <p class="field-problem" id="queue-problem" aria-live="polite">
        {problem}
      </p>
    </form>
  );
}
