/**
 * A preview of a file. Files come from strangers, so they are shown but never run. A PDF has none: it can hold scripts, and
 * browsers show it only in frames without a sandbox.
 */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { readCsv } from "../text/csv";
import { count, plural, size as sizeWords } from "../text/format";
import { type FileKind, kindOf } from "./file-kinds";
import { JsonTree } from "./json-tree";

/** Number of bytes of a text that are shown. */
const TEXT_BYTES = 256 * 1024;
/** Largest picture that is shown as a preview, in bytes. */
const PICTURE_BYTES = 64 * 2 ** 20;
const TABLE_ROWS = 100;
const TABLE_COLUMNS = 50;

export interface Source {
  path: string;
  /** In bytes; null when it is not known. */
  size: number | null;
  mediaType?: string | undefined;
  href: string;
}

export function Preview(props: Source) {
  const kind = kindOf(props.path, props.mediaType);
  return (
    <div class={`preview ${kind}`} data-testid="preview">
      {shown(kind, props)}
    </div>
  );
}

function shown(kind: FileKind, source: Source) {
  switch (kind) {
    case "audio":
      return <audio controls preload="metadata" src={source.href} />;
    case "video":
      return <video controls preload="metadata" src={source.href} />;
    case "image":
      return <Picture source={source} />;
    case "html":
      // The hub sends the file with a policy that blocks scripts and gives the frame an origin of its own.
      return (
        <>
          <iframe class="page-frame" src={source.href} sandbox="" title={`Preview of ${source.path}`} />
          <p class="muted small">Scripts do not run in this preview. Download the file to run them.</p>
        </>
      );
    default:
      return <Fetched source={source} view={(blob, part) => <Text kind={kind} blob={blob} part={part} source={source} />} />;
  }
}

/** Fetches the file, or only the beginning of a long one, and shows it. */
function Fetched(props: {
  source: Source;
  view: (blob: Blob, part: boolean) => preact.ComponentChild;
}) {
  const { href, size } = props.source;
  const got = useSignal<Blob | null>(null);
  const problem = useSignal<string | null>(null);
  const whole = size !== null && size <= TEXT_BYTES;
  const part = useSignal(false);
  useEffect(() => {
    const stop = new AbortController();
    const headers: HeadersInit = whole ? {} : { Range: `bytes=0-${TEXT_BYTES - 1}` };
    fetch(href, { headers, signal: stop.signal })
      .then(async (answer) => {
        const empty = answer.status === 416 && size === null; // an empty file has no first byte
        if (!answer.ok && !empty) throw new Error(`HTTP status ${answer.status}`);
        const blob = empty ? new Blob([]) : await answer.blob();
        part.value = size === null ? blob.size >= TEXT_BYTES : !whole;
        got.value = blob;
      })
      .catch((error: unknown) => {
        if (!stop.signal.aborted) problem.value = `The file could not be fetched (${error instanceof Error ? error.message : "error"}).`;
      });
    return () => stop.abort();
  }, [href, size, whole, part, got, problem]);
  if (problem.value !== null) return <p class="field-problem">{problem.value}</p>;
  return got.value === null ? <p class="muted">Loading…</p> : <>{props.view(got.value, part.value)}</>;
}

function Picture({ source }: { source: Source }) {
  // In an image element even an SVG can neither run scripts nor load other files. It is shown from its own address, so
  // that it also runs nothing of this origin where a person opens it in a tab of its own.
  const broken = useSignal(false);
  if (source.size !== null && source.size > PICTURE_BYTES) return <p class="muted">The file has {sizeWords(source.size)}, which is too large for a preview. Download it.</p>;
  if (broken.value) return <p class="field-problem">The browser can't display this image.</p>;
  return <img src={source.href} alt={source.path} onError={() => (broken.value = true)} />;
}

function Text({ kind, blob, part, source }: { kind: FileKind; blob: Blob; part: boolean; source: Source }) {
  const text = useSignal<string | null>(null);
  useEffect(() => {
    void blob.slice(0, TEXT_BYTES).text().then((read) => (text.value = read));
  }, [blob, text]);
  if (text.value === null) return null;
  const rest = part && <p class="muted small">The first {sizeWords(TEXT_BYTES)}{source.size !== null && ` of ${sizeWords(source.size)}`}.</p>;
  if (kind === "json" && !part) {
    try {
      return <JsonTree value={JSON.parse(text.value) as unknown} />;
    } catch {
      // The file is not valid JSON, so its text is shown.
    }
  }
  if (kind === "csv") return <Table text={text.value} rest={rest} />;
  if (kind === "markdown") return <Markdown text={text.value} source={source} rest={rest} />;
  return (
    <>
      <pre tabIndex={0}>{text.value}</pre>
      {rest}
    </>
  );
}

function Table({ text, rest }: { text: string; rest: preact.ComponentChild }) {
  const rows = readCsv(text, TABLE_ROWS + 1);
  const [head = [], ...body] = rows;
  const columns = head.length;
  const numeric = head.map((_, at) => body.length > 0 && body.every((row) => isNumber(row[at] ?? "")));
  return (
    <>
      <div class="sheet" tabIndex={0} role="region" aria-label="The first rows of the table">
        <table>
          <thead>
            <tr>
              {head.slice(0, TABLE_COLUMNS).map((cell, at) => (
                <th key={at} scope="col" class={numeric[at] ? "num" : ""}>
                  {cell}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {body.map((row, n) => (
              <tr key={n}>
                {row.slice(0, TABLE_COLUMNS).map((cell, at) => (
                  <td key={at} class={numeric[at] ? "num" : ""}>
                    {cell}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="muted small">
        {body.length >= TABLE_ROWS ? `The first ${count(TABLE_ROWS)} rows` : plural(body.length, "row")},{" "}
        {columns > TABLE_COLUMNS ? `${TABLE_COLUMNS} of ${plural(columns, "column")}` : plural(columns, "column")}.
      </p>
      {rest}
    </>
  );
}

function isNumber(cell: string): boolean {
  return /^-?[\d.,]+(e[+-]?\d+)?$/i.test(cell);
}

function Markdown({ text, source, rest }: { text: string; source: Source; rest: preact.ComponentChild }) {
  const html = useSignal<string | null>(null);
  useEffect(() => {
    import("../extra/markdown").then(
      ({ pageOf }) => (html.value = pageOf(text)),
      () => (html.value = ""),
    );
  }, [text, html]);
  if (html.value === null) return null;
  if (html.value === "") return <pre tabIndex={0}>{text}</pre>;
  // The frame allows no scripts and has an opaque origin, so that nothing in the text can run.
  return (
    <>
      <iframe class="page-frame" srcDoc={html.value} sandbox="" title={`Preview of ${source.path}`} />
      {rest}
    </>
  );
}
