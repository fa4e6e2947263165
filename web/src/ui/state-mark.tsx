/** The state of a job: a coloured dot, a word, and the phase of a running job. */

import type { Job } from "../state/job";
import { phaseWords, stateWords, tone } from "../text/words";

export function StateMark({ job }: { job: Job }) {
  const phase = phaseWords(job);
  return (
    <span class={`state ${tone(job)}`}>
      <span class="dot" aria-hidden="true" />
      <span>
        {stateWords(job)}
        {phase !== "" && <span class="state-phase">{phase}</span>}
      </span>
    </span>
  );
}
