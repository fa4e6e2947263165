/** A notification of the browser when a job ends while its page is not looked at. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { isOver, type Job, summaryOf } from "../state/job";
import type { JobEditor } from "../state/job-editor";
import { remembered } from "../state/remembered";
import { shortId } from "../text/format";
import { stateWords, verdictSentence } from "../text/words";
import { embedded } from "./navigation";

/** Whether the person asked for notifications; the browser is asked for its permission once, at that moment. */
const wanted = remembered("notify", false);
/** Most characters of a command in a notification. */
const TITLE = 80;

/** Whether this browser can notify here: only on secure pages, and not from a frame. */
const possible = !embedded && "Notification" in window && window.isSecureContext;

/** Notifies of the end of a job that this page saw waiting or running. */
export function useEndNotice(job: Job | null, editor: JobEditor): void {
  const before = useRef<{ id: string; over: boolean } | null>(null);
  const over = job !== null && isOver(job);
  useEffect(() => {
    const last = before.current;
    before.current = job === null ? null : { id: job.id, over };
    if (job === null || !over || last === null || last.id !== job.id || last.over || job.state !== "Finished") return;
    if (!possible || !wanted.peek() || Notification.permission !== "granted" || document.hasFocus()) return;
    const command = summaryOf(editor.definition.peek()).command || `job ${shortId(job.id)}`;
    const told = new Notification(`${stateWords(job)}: ${command.slice(0, TITLE)}`, { body: verdictSentence(job, "", 1), tag: job.id });
    told.onclick = () => {
      window.focus();
      told.close();
    };
  }, [job?.id, over]);
}

/** The switch for notifications, shown while there is an end to wait for. */
export function NotifyToggle({ job }: { job: Job | null }) {
  const refused = useSignal(false);
  if (!possible || job === null || isOver(job)) return null;
  const on = wanted.value && Notification.permission === "granted";
  const turn = async () => {
    if (on) {
      wanted.value = false;
      return;
    }
    const answer = Notification.permission === "default" ? await Notification.requestPermission() : Notification.permission;
    refused.value = answer === "denied";
    wanted.value = answer === "granted";
  };
  return (
    <>
      {refused.value && (
        <span class="muted small" role="status">
          The browser blocks notifications of this site; its settings allow them.
        </span>
      )}
      <button type="button" class="quiet" aria-pressed={on} title="A notification of your browser when a job ends" onClick={() => void turn()}>
        Notify me
      </button>
    </>
  );
}
