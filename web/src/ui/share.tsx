/** The dialogs with ways to share a job and its queue: addresses that grant what they say, commands, an embedded frame. */

import { resultUrl } from "../job/identity";
import { jobHref, ownHub, type QueueAddress, queueHref, queueParam, queueUrl } from "../route";
import { withJob, writeHash } from "../job/address";
import type { JobEditor } from "../state/job-editor";
import type { Session } from "../state/session";
import { type Shares, sharesOf } from "../state/shares";
import { cliSaysAll, cliSnippet, curlSnippet, frameSnippet, pythonSnippet } from "../text/snippets";
import { Command } from "./copy";
import { Dialog } from "./dialog";
import { servesLocal } from "./navigation";
import { workerCommand } from "./worker-command";

/** The URL that contains the whole job. */
export function jobAddress(editor: JobEditor, queue: QueueAddress): string {
  const { job, files } = editor.params.value;
  const params = new Map(withJob(editor.raw.value, job ?? {}, files)).set("queue", queueParam(queue));
  return `${ownHub()}/${writeHash(params)}`;
}

export function Share(props: { session: Session; editor: JobEditor; queue: QueueAddress; onClose: () => void }) {
  const { session, editor, queue } = props;
  const shares = sharesOf(queue, session.rights.value);
  const { use } = shares;
  const definition = editor.definition.value;
  const links = editor.links;
  const known = editor.open.value?.job.value ?? null;
  const address = use === null ? "" : jobAddress(editor, use);
  return (
    <Dialog title="Share" wide onClose={props.onClose}>
      <Grants shares={shares} />
      {use !== null && <Way title="The job, ready to run" text={address} />}
      {known !== null && links !== "" && <Way title="This result to read" text={resultUrl(queue.hub, editor.id.value, links)} />}
      {known !== null && (
        <Way title="This result in its queue" text={new URL(jobHref(shares.watch ?? queue, editor.id.value), location.href).href} />
      )}
      <QueueWays shares={shares} />
      {use !== null && (
        <>
          {cliSaysAll(definition) && <Way title="Command line" text={cliSnippet(queueUrl(use), definition)} />}
          <Way title="curl" text={curlSnippet(queueUrl(use), definition)} />
          <Way title="Python" text={pythonSnippet(queueUrl(use), definition)} />
        </>
      )}
      <Frames
        watch={known !== null && shares.watch !== null ? new URL(jobHref(shares.watch, editor.id.value), location.href).href : null}
        use={use === null ? null : address}
      />
    </Dialog>
  );
}

/** The dialog with ways to share a queue. */
export function ShareQueue({ session, queue, onClose }: { session: Session; queue: QueueAddress; onClose: () => void }) {
  const shares = sharesOf(queue, session.rights.value);
  return (
    <Dialog title="Share this queue" wide onClose={onClose}>
      <Grants shares={shares} />
      <QueueWays shares={shares} />
      <Frames watch={shares.watch && pageUrl(shares.watch)} use={shares.use && pageUrl(shares.use)} />
    </Dialog>
  );
}

/** The page in a frame of another page, as far as this page's address can grant it. */
function Frames({ watch, use }: { watch: string | null; use: string | null }) {
  if (watch === null && use === null) return null;
  return (
    <>
      {watch !== null && <Way title="Embedded in another page, to watch" text={frameSnippet(watch)} />}
      {use !== null && (
        <>
          <Way title="Embedded in another page, to use" text={frameSnippet(use)} />
          <p class="small muted">Whoever can open that page can use the queue: run jobs in it, and cancel and delete them.</p>
        </>
      )}
      {servesLocal && (
        <p class="small muted" data-testid="frame-origins">
          This hub serves a queue of its own machine, so only pages of the origins that it was started with may embed it:{" "}
          <code>--allow-origin https://notes.example.com</code>
        </p>
      )}
    </>
  );
}

function Grants({ shares }: { shares: Shares }) {
  return (
    <p class="notice warn">
      {shares.limited
        ? "Each of these grants what it says, and no more, to anyone who has it. A queue's own name, as in “Copy URL”, grants everything."
        : "Anyone who has one of these can use the queue, unless it says otherwise: see its jobs and run new ones."}
    </p>
  );
}

function QueueWays({ shares }: { shares: Shares }) {
  const { watch, use, work } = shares;
  return (
    <>
      {watch !== null && <Way title="This queue to watch" text={pageUrl(watch)} />}
      {use !== null && <Way title="This queue to use" text={pageUrl(use)} />}
      {work !== null && <Way title="A worker for it" text={workerCommand(work)} />}
    </>
  );
}

function pageUrl(queue: QueueAddress): string {
  return new URL(queueHref(queue), location.href).href;
}

function Way({ title, text }: { title: string; text: string }) {
  return (
    <div class="way">
      <h3>{title}</h3>
      <Command text={text} label={`Copy: ${title}`} />
    </div>
  );
}
