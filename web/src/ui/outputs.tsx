/** The files that a job left, each a link. */

import { outputHref, type QueueAddress } from "../route";
import type { Job } from "../state/job";
import type { OpenJob } from "../state/session";
import { plural, size } from "../text/format";

export function Outputs({ queue, open, job }: { queue: QueueAddress; open: OpenJob; job: Job }) {
  if (job.state !== "Finished") return null;
  const result = open.result.value;
  const files = Object.entries(result?.outputs ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const skipped = Object.entries(result?.skipped ?? {});
  const expected = job.verdict?.outputs ?? 0;
  const total = files.reduce((sum, [, file]) => sum + file.size, 0);
  return (
    <section aria-labelledby="outputs-title">
      <h2 id="outputs-title">
        Outputs {files.length > 0 && <span class="muted">{`${plural(files.length, "file")}, ${size(total)}`}</span>}
      </h2>
      {files.length === 0 && (
        <p class="empty">
          {result === null && expected > 0
            ? `Loading ${plural(expected, "file")}…`
            : "None. What a job writes to /outputs is kept and shown here."}
        </p>
      )}
      {files.length > 0 && (
        <ul class="outputs">
          {files.map(([path, file]) => (
            <li key={path} data-testid="output">
              <a href={outputHref(queue, job.id, path)} target="_blank" rel="noopener">
                {path}
              </a>
              <span class="muted">{file.media_type ?? "application/octet-stream"}</span>
              <span class="num">{size(file.size)}</span>
            </li>
          ))}
        </ul>
      )}
      {skipped.length > 0 && (
        <ul class="skipped">
          {skipped.map(([path, why]) => (
            <li key={path}>
              <code>{path}</code> was not kept: {why}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
