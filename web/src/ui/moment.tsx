/** A time of day with its name, in a list of facts; nothing for a time that is not known. */

import { clock, fullTime } from "../text/format";

export function Moment({ name, time }: { name: string; time: number }) {
  if (time === 0) return null;
  return (
    <div class="moment">
      <dt>{name}</dt>
      <dd>
        <time dateTime={new Date(time).toISOString()} title={fullTime(time)}>
          {clock(time, Date.now())}
        </time>
      </dd>
    </div>
  );
}
