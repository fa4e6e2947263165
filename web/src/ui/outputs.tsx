/** The output files of a job, with previews and a download of all files as one archive. */

import { useSignal } from "@preact/signals";
import { keptAt } from "../files/elsewhere";
import { knownSize } from "../files/known-size";
import { sentence } from "../protocol/errors";
import type { OutputFile, Result } from "../protocol/messages";
import type { Job } from "../state/job";
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

export interface OutputsProps {
  /** The URL of the hub. */
  hub: string;
  job: Job;
  /** The result; null while it is loaded. */
  result: Result | null;
  /** The address of a file. */
  href: (path: string) => string;
}

export function Outputs({ hub, job, result, href }: OutputsProps) {
  const shown = useSignal(SHOWN);
  if (job.state !== "Finished") return null;
  const files = Object.entries(result?.outputs ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const skipped = Object.entries(result?.skipped ?? {});
  const expected = job.verdict?.outputs ?? 0;
  const total = files.reduce((sum, [, file]) => sum + file.size, 0);
  const atLeast = files.some(([, file]) => knownSize(file) === null) ? "at least " : "";
  const ofHub = files.filter(([, file]) => keptAt(file.ref, hub) === null);
  const small = ofHub.filter(([path, file]) => opensByItself(path, file)).slice(0, OPEN_FIRST);
  return (
    <section aria-labelledby="outputs-title">
      <div class="section-head">
        <h2 id="outputs-title">
          Outputs {files.length > 0 && <span class="muted">{`${plural(files.length, "file")}, ${atLeast}${size(total)}`}</span>}
        </h2>
        {ofHub.length > 1 && <ZipButton name={`${shortId(job.id)}.zip`} files={ofHub} href={href} />}
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
            <Output
              key={`${job.id} ${path}`}
              path={path}
              file={file}
              href={href(path)}
              host={keptAt(file.ref, hub)}
              open={small.some(([name]) => name === path)}
            />
          ))}
        </ul>
      )}
      {ofHub.length < files.length && (
        <p class="muted small">
          {plural(files.length - ofHub.length, "file is", "files are")} not kept on the hub, but at an address that the worker chose. The
          page does not load {files.length - ofHub.length === 1 ? "it" : "them"} by itself
          {ofHub.length > 1 && ", and the archive has only the others"}.
        </p>
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
  if (knownSize(file) === null) return false;
  return kind === "image" ? file.size <= 4 * 2 ** 20 : ["text", "json", "csv", "markdown"].includes(kind) && file.size <= 64 * 1024;
}

function Output(props: { path: string; file: OutputFile; href: string; host: string | null; open: boolean }) {
  const { path, file, href, host } = props;
  const looked = useSignal(props.open);
  const kind = kindOf(path, file.media_type);
  return (
    <li data-testid="output" data-kind={kind}>
      <div class="file">
        <a class="file-name" href={href} target="_blank" rel="noopener noreferrer">
          {path}
        </a>
        <span class="file-facts">
          <span>{file.media_type ?? "application/octet-stream"}</span>
          <span class="num">{knownSize(file) === null ? "size unknown" : size(file.size)}</span>
          {file.sha256 !== "" && (
            <CopyButton text={file.sha256} label={`Copy the sha256 of ${path}`}>
              {file.sha256.slice(0, 8)}
            </CopyButton>
          )}
        </span>
        <span class="file-actions">
          {host === null && kind !== "other" && (
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
          {host === null ? (
            <a class="button quiet" href={href} download={path.split("/").at(-1)} aria-label={`Download ${path}`}>
              Download
            </a>
          ) : (
            <a class="button quiet" href={href} target="_blank" rel="noopener noreferrer" aria-label={`Open at ${host}: ${path}`}>
              Open at {host}
            </a>
          )}
        </span>
      </div>
      {looked.value && host === null && <Preview path={path} size={knownSize(file)} mediaType={file.media_type} href={href} />}
    </li>
  );
}

/** A button that downloads all files that the hub has as one archive. */
function ZipButton(props: { name: string; files: [string, OutputFile][]; href: (path: string) => string }) {
  const total = props.files.reduce((sum, [, file]) => sum + file.size, 0);
  const done = useSignal<number | null>(null);
  const problem = useSignal<string | null>(null);
  const save = async () => {
    problem.value = null;
    try {
      const { saveZip } = await import("../extra/zip");
      done.value = 0;
      const files = props.files.map(([path, file]) => ({ path, href: props.href(path), size: knownSize(file) ?? undefined }));
      await saveZip(props.name, files, (bytes) => (done.value = bytes));
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) problem.value = sentence(error);
    }
    done.value = null;
  };
  return (
    <>
      <button type="button" class="quiet" disabled={done.value !== null} onClick={() => void save()}>
        {done.value === null ? "Download all as zip" : `${size(done.value)} of ${size(total)}…`}
      </button>
      {problem.value !== null && <Notice kind="error">{problem.value}</Notice>}
    </>
  );
}
