/** The simplest form to run a job: an image and a command. */

import { useEffect, useMemo, useState } from "preact/hooks";
import type { Answer, Definition } from "../protocol/messages";
import { jobHref, type QueueAddress, queueUrl } from "../route";
import { Problem } from "../state/problem";
import type { Session } from "../state/session";
import { shortId } from "../text/format";
import { asSentence } from "../text/words";
import { curlSnippet, pythonSnippet, shellWord, withQueue } from "../text/snippets";
import { Command } from "./copy";
import { follow } from "./navigation";
import { Notice } from "./notice";

const ANSWER_WORDS = {
  queued: "The job is queued",
  joined: "This exact job is already queued or running",
  cached: "This exact job has already run; see its result",
} as const;

export function SubmitForm({ session, queue }: { session: Session; queue: QueueAddress }) {
  const [image, setImage] = useState("");
  const [command, setCommand] = useState("");
  const [busy, setBusy] = useState(false);
  const problem = useProblem(session);
  const [answer, setAnswer] = useState<Answer<"submit"> | null>(null);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    // What stands in the fields, which may be newer than what was drawn last.
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    const [image, command] = ["image", "command"].map((name) => String(fields.get(name) ?? "").trim());
    if (!command && !image) {
      problem.say("Enter a command, an image, or both.");
      return;
    }
    setBusy(true);
    problem.say(null);
    setAnswer(null);
    const definition: Definition = {
      ...(image ? { image } : {}),
      ...(command ? { command } : {}),
    };
    try {
      setAnswer(await session.submit(session.withImage(definition)));
    } catch (error) {
      problem.tell(error);
    }
    setBusy(false);
  };

  const defaultImage = session.defaultImage.value || "alpine:3";
  const drawn: Definition = { image: image.trim() || defaultImage, command: command.trim() || "echo hello" };
  return (
    <section aria-labelledby="run-title">
      <h2 id="run-title">Run a job</h2>
      <form class="submit" onSubmit={(event) => void submit(event)}>
        <label class="f-image">
          <span>
            Image <span class="muted">(optional)</span>
          </span>
          <input
            name="image"
            autocomplete="off"
            autocapitalize="off"
            spellcheck={false}
            placeholder={defaultImage}
            value={image}
            onInput={(event) => setImage(event.currentTarget.value)}
          />
        </label>
        <label class="f-command">
          <span>Command</span>
          <input
            name="command"
            autocomplete="off"
            autocapitalize="off"
            spellcheck={false}
            placeholder="sh -c 'echo hello'"
            value={command}
            onInput={(event) => setCommand(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary" disabled={busy}>
          {busy ? "Submitting…" : "Run"}
        </button>
      </form>
      <details class="more">
        <summary>From the shell, Python or another program</summary>
        <div class="ways">
          <Command text={withQueue(queueUrl(queue), `asman run${image ? ` -i ${shellWord(image)}` : ""} -- echo hello`)} label="Copy the command that runs a job" />
          <Command text={curlSnippet(queueUrl(queue), drawn)} label="Copy the curl command" />
          <Command text={pythonSnippet(queueUrl(queue), drawn)} label="Copy the Python program" />
        </div>
      </details>
      {problem.words.value !== null && <Notice kind="error">{problem.words.value}</Notice>}
      {answer !== null && (
        <Notice kind="info">
          <span>
            {ANSWER_WORDS[answer.answer]}:{" "}
            <JobLink queue={queue} id={answer.job.id} />.{" "}
            {answer.answer !== "cached" && (answer.able ?? 0) === 0 && asSentence(answer.why || "No connected worker can run it")}
          </span>
        </Notice>
      )}
    </section>
  );
}

/** A problem that is gone with the connection's absence, if that was all. */
export function useProblem(session: Session): Problem {
  const problem = useMemo(() => new Problem(), [session]);
  const online = session.online.value;
  useEffect(() => {
    if (online) problem.connected();
  }, [online, problem]);
  return problem;
}

export function JobLink({ queue, id }: { queue: QueueAddress; id: string }) {
  const href = jobHref(queue, id);
  return (
    <a href={href} onClick={(event) => follow(event, href)}>
      <code>{shortId(id)}</code>
    </a>
  );
}
