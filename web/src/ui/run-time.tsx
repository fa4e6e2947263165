/** The run time of a job. While the job runs, only this component is redrawn each second. */

import { now } from "../state/clock";
import { type Job, runTime } from "../state/job";
import { duration, ticking } from "../text/format";

export function RunTime({ job }: { job: Job }) {
  const running = job.state === "Running";
  const ms = runTime(job, running ? now.value : 0);
  if (ms === null) return <span class="muted">–</span>;
  return <span>{running ? ticking(ms) : duration(ms)}</span>;
}
