/** The timeline of a job: waiting time and phases, as a bar and as numbers. */

import { now } from "../state/clock";
import { type Job, waitTime } from "../state/job";
import { type OpenJob, progressOf } from "../state/session";
import type { Phase, PhaseProgress } from "../protocol/messages";
import { duration, size, ticking } from "../text/format";
import { PHASE_WORDS } from "../text/words";
import { Moment } from "./moment";

interface Stretch {
  name: string;
  kind: string;
  ms: number;
  /** Whether the time is still growing. */
  live: boolean;
}

export function Timeline({ open, job }: { open: OpenJob; job: Job }) {
  const stretches = stretchesOf(open, job);
  const progress = progressOf(open);
  const total = stretches.reduce((sum, each) => sum + each.ms, 0) || 1;
  return (
    <div class="timeline" data-testid="timeline">
      <div class="bar" aria-hidden="true">
        {stretches.map((each) => (
          <span key={each.kind} class={`stretch ${each.kind}`} style={{ flexGrow: Math.max(0.004, each.ms / total) }} />
        ))}
      </div>
      <dl>
        {stretches.map((each) => (
          <div key={each.kind}>
            <dt>
              <span class={`swatch ${each.kind}`} aria-hidden="true" />
              {each.name}
            </dt>
            <dd>
              {each.live ? ticking(each.ms) : duration(each.ms)}
              {each.live && progress && <Done of={progress} />}
            </dd>
          </div>
        ))}
        <Moment name="queued at" time={job.queued} />
        {job.finished > 0 && <Moment name="finished at" time={job.finished} />}
        {job.attempt > 1 && (
          <div>
            <dt>starts, over all runs</dt>
            <dd>{job.attempt}</dd>
          </div>
        )}
      </dl>
    </div>
  );
}

/** The progress of a phase: a bar, and `10 MiB of 40 MiB` or `3 of 8 layers`. */
function Done({ of: { done, total, unit } }: { of: PhaseProgress }) {
  const amount = unit === "bytes" ? `${size(done)} of ${size(total)}` : `${done} of ${total} ${unit ?? ""}`.trimEnd();
  return (
    <>
      {" "}
      <progress max={total} value={done} aria-label="done" /> {amount}
    </>
  );
}

function stretchesOf(open: OpenJob, job: Job): Stretch[] {
  const live = job.state === "Queued" || job.state === "Running";
  const time = live ? now.value : 0;
  const found: Stretch[] = [];
  const waited = waitTime(job, time);
  if (waited !== null) found.push({ name: "waited", kind: "waiting", ms: waited, live: job.state === "Queued" });
  if (job.state === "Finished") {
    for (const [phase, ms] of Object.entries(open.result.value?.phases ?? {})) {
      if (ms > 0) found.push({ name: PHASE_WORDS[phase as Phase] ?? phase, kind: phase, ms, live: false });
    }
    if (found.length <= 1 && job.verdict?.duration) found.push({ name: "ran", kind: "running", ms: job.verdict.duration, live: false });
  }
  if (job.state === "Running") {
    const starts = open.phases.value;
    starts.forEach(({ phase, at }, n) => {
      const end = starts[n + 1]?.at ?? time;
      found.push({ name: PHASE_WORDS[phase], kind: phase, ms: Math.max(0, end - at), live: n === starts.length - 1 });
    });
  }
  return found;
}
