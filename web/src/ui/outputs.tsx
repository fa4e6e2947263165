/** The output files of a job, with previews and a download of all files as one archive. */

import { useSignal } from "@preact/signals";
import { outputHref, type QueueAddress } from "../route";
import { sentence } from "../protocol/errors";
import type { OutputFile } from "../protocol/messages";
import type { Job } from "../state/job";
import type { OpenJob } from "../state/session";
import { plural, shortId, size } from "../text/format";
import { CopyButton } from "./copy";
import { kindOf } from "./file-kinds";
import { Notice } from "./notice";
import { lazy } from "./lazy";

const Preview = lazy(() => import("./preview").then((part) => part.Preview));

/** Number of files shown at first; a job may have thousands. */
const SHOWN = 100;
/** Number of previews that are open at first. */
const OPEN_FIRST = 2;

export function Outputs({ queue, open, job }: { queue: QueueAddress; open: OpenJob; job: Job }) {
  const shown = useSignal(SHOWN);
  if (job.state !== "Finished") return null;
  const result = open.result.value;
  const files = Object.entries(result?.outputs ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const skipped = Object.entries(result?.skipped ?? {});
  const expected = job.verdict?.outputs ?? 0;
  const total = files.reduce((sum, [, file]) => sum + file.size, 0);
  const href = (path: string) => outputHref(queue, job.id, path);
  const small = files.filter(([path, file]) => opensByItself(path, file)).slice(0, OPEN_FIRST);
  return (
    <section aria-labelledby="outputs-title">
      <div class="section-head">
        <h2 id="outputs-title">
          Outputs {files.length > 0 && <span class="muted">{`${plural(files.length, "file")}, ${size(total)}`}</span>}
        </h2>
        {files.length > 1 && <ZipButton name={`${shortId(job.id)}.zip`} files={files} href={href} total={total} />}
      </div>
      {files.length === 0 && (
        <p class="empty">
          {result === null && expected > 0
            ? `Loading ${plural(expected, "file")}…`
            : "No outputs. Files that a job writes to $JOB_OUTPUTS (/outputs in a container) are kept and shown here."}
        </p>
      )}
      {files.length > 0 && (
        <ul class="files">
          {files.slice(0, shown.value).map(([path, file]) => (
            <Output key={`${job.id} ${path}`} path={path} file={file} href={href(path)} open={small.some(([name]) => name === path)} />
          ))}
        </ul>
      )}
      {files.length > shown.value && (
        <button type="button" class="load-more" onClick={() => (shown.value += 500)}>
          Show {plural(Math.min(500, files.length - shown.value), "more file")}
        </button>
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

function opensByItself(path: string, file: OutputFile): boolean {
  const kind = kindOf(path, file.media_type);
  return kind === "image" ? file.size <= 4 * 2 ** 20 : ["text", "json", "csv", "markdown"].includes(kind) && file.size <= 64 * 1024;
}

function Output(props: { path: string; file: OutputFile; href: string; open: boolean }) {
  const { path, file, href } = props;
  const looked = useSignal(props.open);
  const kind = kindOf(path, file.media_type);
  return (
    <li data-testid="output" data-kind={kind}>
      <div class="file">
        <a class="file-name" href={href} target="_blank" rel="noopener">
          {path}
        </a>
        <span class="file-facts">
          <span>{file.media_type ?? "application/octet-stream"}</span>
          <span class="num">{size(file.size)}</span>
          <CopyButton text={file.sha256} label={`Copy the sha256 of ${path}`}>
            {file.sha256.slice(0, 8)}
          </CopyButton>
        </span>
        <span class="file-actions">
          {kind !== "other" && (
            <button
              type="button"
              class="quiet"
              aria-expanded={looked.value}
              aria-label={looked.value ? `Hide the preview of ${path}` : `Preview of ${path}`}
              onClick={() => (looked.value = !looked.value)}
            >
              {looked.value ? "Hide" : "Preview"}
            </button>
          )}
          <a class="button quiet" href={href} download={path.split("/").at(-1)} aria-label={`Download ${path}`}>
            Download
          </a>
        </span>
      </div>
      {looked.value && <Preview path={path} size={file.size} mediaType={file.media_type} href={href} />}
    </li>
  );
}

/** A button that downloads all files as one archive. */
function ZipButton(props: { name: string; files: [string, OutputFile][]; href: (path: string) => string; total: number }) {
  const done = useSignal<number | null>(null);
  const problem = useSignal<string | null>(null);
  const save = async () => {
    problem.value = null;
    try {
      const { saveZip } = await import("../extra/zip");
      done.value = 0;
      const files = props.files.map(([path, file]) => ({ path, href: props.href(path), size: file.size }));
      await saveZip(props.name, files, (bytes) => (done.value = bytes));
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) problem.value = sentence(error);
    }
    done.value = null;
  };
  return (
    <>
      <button type="button" class="quiet" disabled={done.value !== null} onClick={() => void save()}>
        {done.value === null ? "Download all as zip" : `${size(done.value)} of ${size(props.total)}…`}
      </button>
      {problem.value !== null && <Notice kind="error">{problem.value}</Notice>}
    </>
  );
}
