/** The pages for a URL without a valid queue. */

import { useEffect, useState } from "preact/hooks";
import { effective, readParams, withJob, writeHash } from "../job/address";
import type { Definition } from "../protocol/messages";
import { basePath, isHere, jobHref, newQueueName, ownHub, type Params, parseQueue, queueHref, queueParam, queueUrl, startHref } from "../route";
import { forgetQueue, myQueues } from "../state/my-queues";
import { shortQueue } from "../text/format";
import { Command } from "./copy";
import { follow, go, servesLocal } from "./navigation";
import { Notice } from "./notice";
import { withQueue } from "../text/snippets";
import { WorkerCommand } from "./worker-command";

/** Whether the reader's own machine has a queue here: only it may use that under the name `local`. */
const ownQueue = servesLocal && isHere(ownHub());

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
      {ownQueue && <OwnQueue />}
      <MyQueues />
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
      <p>
        <a href={`${basePath}/docs`}>Documentation</a>
      </p>
    </main>
  );
}

/** The way to the queue of `asman up`, which has a worker. */
function OwnQueue() {
  const href = `${startHref}#?queue=local`;
  return (
    <section aria-labelledby="own-title">
      <h2 id="own-title">This machine's queue</h2>
      <p>
        This hub has a queue with a worker of its own: <a href={href} onClick={(event) => follow(event, href)}>open it</a>.
      </p>
    </section>
  );
}

/** The queues that were opened in this browser. */
function MyQueues({ job }: { job?: string }) {
  const [forgotten, setForgotten] = useState<{ name: string; undo: () => void } | null>(null);
  const known = myQueues.value.flatMap((url) => {
    const queue = parseQueue(url, ownHub());
    return queue === null ? [] : [{ url, queue }];
  });
  if (known.length === 0 && forgotten === null) return null;
  const forget = (url: string, name: string) => setForgotten({ name: shortQueue(name), undo: forgetQueue(url) });
  return (
    <section aria-labelledby="mine-title" data-testid="my-queues">
      <h2 id="mine-title">{job === undefined ? "My queues" : "Look in one of my queues"}</h2>
      <ul class="my-queues">
        {known.map(({ url, queue }) => {
          const href = job === undefined ? queueHref(queue) : jobHref(queue, job);
          return (
            <li key={url}>
              <a href={href} onClick={(event) => follow(event, href)} title={url}>
                {shortQueue(queue.name)}
              </a>{" "}
              {queue.hub !== ownHub() && <span class="muted">at {queue.hub.replace(/^https?:\/\//, "")}</span>}
              <button type="button" class="quiet" aria-label={`Forget ${shortQueue(queue.name)}`} onClick={() => forget(url, queue.name)}>
                Forget
              </button>
            </li>
          );
        })}
      </ul>
      {forgotten !== null && (
        <p role="status">
          Forgot {forgotten.name}. Its URL is known nowhere else in this browser.{" "}
          <button
            type="button"
            class="quiet"
            onClick={() => {
              forgotten.undo();
              setForgotten(null);
            }}
          >
            Undo
          </button>
        </p>
      )}
      <p class="small muted">This browser remembers the queues that were opened in it. Forgetting one deletes nothing of the queue.</p>
    </section>
  );
}

interface Example {
  title: string;
  says: string;
  job: Definition;
  files: Record<string, string>;
}

const COUNT = `# How often each word occurs in text.txt
tr -s ' ' '\\n' < "$JOB_INPUTS/text.txt" | sort | uniq -c | sort -rn | tee "$JOB_OUTPUTS/words.txt"
`;

const PICTURE = `# A picture, drawn by awk
awk 'BEGIN {
  print "<svg xmlns=\\"http://www.w3.org/2000/svg\\" viewBox=\\"0 0 200 200\\">"
  for (i = 0; i < 60; i++) {
    r = 4 + i * 1.4
    printf "<circle cx=\\"%.1f\\" cy=\\"100\\" r=\\"%.1f\\" fill=\\"hsl(%d 70%% 55%%)\\" transform=\\"rotate(%d 100 100)\\"/>", 100 + r, 2 + i / 12, i * 6, i * 24
  }
  print "</svg>"
}' > "$JOB_OUTPUTS/spiral.svg"
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
    job: { image: "alpine:3", command: "sh $JOB_INPUTS/count.sh" },
    files: { "count.sh": COUNT, "text.txt": "a queue is a URL and a job is a URL and a worker is one command\n" },
  },
  {
    title: "Draw a picture",
    says: "An image file as output, shown when the job is finished.",
    job: { image: "alpine:3", command: "sh $JOB_INPUTS/draw.sh" },
    files: { "draw.sh": PICTURE },
  },
];

/** Links to example jobs, all in the queue of this machine if there is one, else in one new queue. */
function Examples() {
  const [made] = useState(newQueueName);
  const queue = ownQueue ? "local" : made;
  return (
    <section aria-labelledby="examples-title">
      <h2 id="examples-title">Try an example</h2>
      <ul class="examples">
        {EXAMPLES.map(({ title, says, job, files }) => {
          // This machine's worker may run plain processes; where it runs containers, its hub has a default image.
          const { image: _image, ...plain } = job;
          const href = `${startHref}${writeHash(withJob(new Map([["queue", queue]]), ownQueue ? plain : job, files))}`;
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
      <p class="small muted">
        {ownQueue
          ? "Each example opens in the queue of this machine, whose worker runs it."
          : "Each example opens in a new queue, which has no worker yet. The page of the job says how to connect one."}
      </p>
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
    go(`${startHref}${writeHash(named)}`);
  };
  return (
    <main class="page start" data-testid="no-queue">
      <h1>A job without a queue</h1>
      <Notice kind={problem === null ? "info" : "error"}>
        {problem ?? "This URL contains a job but names no queue to run it in. Name a queue, or create a new one."}
      </Notice>
      <QueueField label="Queue name or URL" action="Open the job" onQueue={open} />
      <button type="button" class="start-new" onClick={() => open({ hub: ownHub(), name: newQueueName() })}>
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
  const queue = { hub: ownHub(), name };
  const href = queueHref(queue);
  return (
    <>
      <ol class="steps">
        <li>
          Keep the queue's URL: there is no other way to reach the queue.
          <Command text={queueUrl(queue)} label="Copy the queue's URL" />
        </li>
        <li>
          <WorkerCommand work={queue} before="Connect a worker, with this" />
        </li>
        <li>
          Run a job:
          <Command text={withQueue(queueUrl(queue), "asman run -- echo hello")} label="Copy the command that runs a job" />
        </li>
      </ol>
      <button type="button" class="primary" onClick={() => go(href)}>
        Open the queue
      </button>
    </>
  );
}

/** Ways to a job in its queue, for who may use the queue. */
export function InItsQueue({ job }: { job: string }) {
  return (
    <>
      <QueueField label="Queue name or URL" action="Show the job" onQueue={(queue) => go(jobHref(queue, job))} />
      <MyQueues job={job} />
    </>
  );
}

function QueueField(props: { label: string; action: string; onQueue: (queue: { hub: string; name: string }) => void }) {
  const [text, setText] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const open = (event: SubmitEvent) => {
    event.preventDefault();
    const typed = new FormData(event.currentTarget as HTMLFormElement).get("queue"); // newer than what was drawn last
    const queue = parseQueue(String(typed ?? ""), ownHub());
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
