/** The pages for a URL without a valid queue. */

import { useEffect, useState } from "preact/hooks";
import { effective, readParams, withJob, writeHash } from "../job/address";
import type { Definition } from "../protocol/messages";
import { jobHref, newQueueName, type Params, parseQueue, queueHref, queueParam, queueUrl } from "../route";
import { shortId } from "../text/format";
import { Command } from "./copy";
import { follow, go } from "./navigation";
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
        Asman runs containerised jobs from a URL. A queue is a URL too: anyone who has it can submit jobs to it, watch them,
        and connect workers that run them.
      </p>
      {problem !== null && <Notice kind="error">{problem}</Notice>}
      <Examples />
      <section aria-labelledby="open-title">
        <h2 id="open-title">Open a queue</h2>
        <QueueField label="Queue name or URL" action="Open" onQueue={(queue) => go(queueHref(queue))} />
      </section>
      <section aria-labelledby="new-title">
        <h2 id="new-title">Create a queue</h2>
        <p>Its name can't be guessed, so only people you give its URL to can use it.</p>
        {made === null ? (
          <button type="button" class="primary" onClick={() => setMade(newQueueName())}>
            Create a queue
          </button>
        ) : (
          <NewQueue name={made} />
        )}
      </section>
    </main>
  );
}

interface Example {
  title: string;
  says: string;
  job: Definition;
  files: Record<string, string>;
}

const COUNT = `# How often each word occurs in text.txt
tr -s ' ' '\\n' < /inputs/text.txt | sort | uniq -c | sort -rn | tee /outputs/words.txt
`;

const PICTURE = `# A picture, drawn by awk
mkdir -p /outputs
awk 'BEGIN {
  print "<svg xmlns=\\"http://www.w3.org/2000/svg\\" viewBox=\\"0 0 200 200\\">"
  for (i = 0; i < 60; i++) {
    a = i * 0.42; r = 4 + i * 1.4
    printf "<circle cx=\\"%.1f\\" cy=\\"%.1f\\" r=\\"%.1f\\" fill=\\"hsl(%d 70%% 55%%)\\"/>", 100 + r * cos(a), 100 + r * sin(a), 2 + i / 12, i * 6
  }
  print "</svg>"
}' > /outputs/spiral.svg
echo drawn
`;

const EXAMPLES: readonly Example[] = [
  {
    title: "Say hello",
    says: "One command in a small image; its output streams live.",
    job: { image: "alpine:3", command: "sh -c 'for n in 1 2 3 4 5; do echo \"hello $n\"; sleep 1; done'" },
    files: {},
  },
  {
    title: "Count words",
    says: "A script and a text file as inputs, a table as output. Edit one of them and run the job again.",
    job: { image: "alpine:3", command: "sh /inputs/count.sh" },
    files: { "count.sh": COUNT, "text.txt": "a queue is a URL and a job is a URL and a worker is one command\n" },
  },
  {
    title: "Draw a picture",
    says: "An image file as output, shown when the job is finished.",
    job: { image: "alpine:3", command: "sh /inputs/draw.sh" },
    files: { "draw.sh": PICTURE },
  },
];

/** Links to example jobs, all in one new queue. */
function Examples() {
  const [queue] = useState(newQueueName);
  return (
    <section aria-labelledby="examples-title">
      <h2 id="examples-title">Try an example</h2>
      <ul class="examples">
        {EXAMPLES.map(({ title, says, job, files }) => {
          const href = `/${writeHash(withJob(new Map([["queue", queue]]), job, files))}`;
          return (
            <li key={title}>
              <a href={href} onClick={(event) => follow(event, href)}>
                {title}
              </a>
              <p>{says}</p>
            </li>
          );
        })}
      </ul>
      <p class="small muted">Each example opens in a new queue, which has no worker yet. To connect one, open “All jobs” on that page.</p>
    </section>
  );
}

/** The page for a URL that contains a job but no valid queue. */
export function NoQueuePage({ params, problem }: { params: Params; problem: string | null }) {
  const definition = effective(readParams(params));
  useEffect(() => {
    document.title = "Job · Asman";
  }, []);
  const open = (queue: { hub: string; name: string }) => {
    const named = new Map(params).set("queue", queueParam(queue));
    named.delete("queueOverride");
    go(`/${writeHash(named)}`);
  };
  return (
    <main class="page start" data-testid="no-queue">
      <h1>A job without a queue</h1>
      <Notice kind={problem === null ? "info" : "error"}>
        {problem ?? "This URL contains a job but names no queue to run it in. Name a queue, or create a new one."}
      </Notice>
      <QueueField label="Queue name or URL" action="Open the job" onQueue={open} />
      <button type="button" class="start-new" onClick={() => open({ hub: location.origin, name: newQueueName() })}>
        Open it in a new queue
      </button>
      <section aria-labelledby="held-title">
        <h2 id="held-title">Definition</h2>
        <pre class="held" tabIndex={0}>
          {JSON.stringify(definition, null, 2)}
        </pre>
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
          Keep the queue's URL: there is no other way to reach the queue.
          <Command text={queueUrl(queue)} label="Copy the queue's URL" />
        </li>
        <li>
          Connect a worker, on a machine that can reach this hub:
          <Command text={`asman worker ${queueUrl(queue)}`} label="Copy the command that adds a worker" />
        </li>
        <li>
          Run a job:
          <Command text={`asman run ${queueUrl(queue)} -- echo hello`} label="Copy the command that runs a job" />
        </li>
      </ol>
      <button type="button" class="primary" onClick={() => go(href)}>
        Open the queue
      </button>
    </>
  );
}

/** The page for a link that names a job but not its queue. */
export function LostJobPage({ job, path }: { job: string; path: string }) {
  useEffect(() => {
    document.title = `Job ${shortId(job)} · Asman`;
  }, [job]);
  return (
    <main class="page start" data-testid="lost-job">
      <h1>
        Job <code>{shortId(job)}</code>
      </h1>
      <Notice kind="info">
        <span>
          This link names a job but not its queue, so the job can't be shown live. Name the queue, or read the stored
          result: <a href={`${path}/result.json`}>result.json</a>.
        </span>
      </Notice>
      <QueueField label="Queue name or URL" action="Show the job" onQueue={(queue) => go(jobHref(queue, job))} />
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
    else setProblem("A queue name has 1 to 128 letters, digits, dots, “_” or “-”. You can also paste the queue's URL.");
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
