/** The dialog with ways to share a job: its URL, its result, commands, and an embedded frame. */

import { resultUrl } from "../job/identity";
import { jobHref, type QueueAddress, queueParam, queueUrl } from "../route";
import { withJob, writeHash } from "../job/address";
import type { JobEditor } from "../state/job-editor";
import { cliSaysAll, cliSnippet, curlSnippet, frameSnippet, pythonSnippet } from "../text/snippets";
import { Command } from "./copy";
import { Dialog } from "./dialog";

/** The URL that contains the whole job. */
export function jobAddress(editor: JobEditor, queue: QueueAddress): string {
  const { job, files } = editor.params.value;
  const params = new Map(withJob(editor.raw.value, job ?? {}, files)).set("queue", queueParam(queue));
  return `${location.origin}/${writeHash(params)}`;
}

export function Share({ editor, queue, onClose }: { editor: JobEditor; queue: QueueAddress; onClose: () => void }) {
  const address = jobAddress(editor, queue);
  const definition = editor.definition.value;
  const links = editor.links;
  const known = editor.open.value?.job.value ?? null;
  return (
    <Dialog title="Share" wide onClose={onClose}>
      <p class="notice warn">Anyone who has one of these can use the queue, unless it says otherwise: see its jobs and run new ones.</p>
      <Way title="The job, ready to run" text={address} />
      {known !== null && <Way title="This result" text={new URL(jobHref(queue, editor.id.value), location.href).href} />}
      {known !== null && links !== "" && (
        <Way title="This result, for people who may not use the queue" text={resultUrl(queue.hub, editor.id.value, links)} />
      )}
      {cliSaysAll(definition) && <Way title="Command line" text={cliSnippet(queueUrl(queue), definition)} />}
      <Way title="curl" text={curlSnippet(queueUrl(queue), definition)} />
      <Way title="Python" text={pythonSnippet(queueUrl(queue), definition)} />
      <Way title="Embedded in another page" text={frameSnippet(address)} />
    </Dialog>
  );
}

function Way({ title, text }: { title: string; text: string }) {
  return (
    <div class="way">
      <h3>{title}</h3>
      <Command text={text} label={`Copy: ${title}`} />
    </div>
  );
}
