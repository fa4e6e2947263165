/** The inputs of a job: texts that can be edited in place, uploaded files, and piped-in values. */

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { sentence } from "../protocol/errors";
import type { DataRef } from "../protocol/messages";
import type { JobEditor } from "../state/job-editor";
import type { JobFiles, Upload } from "../state/job-files";
import { plural, size } from "../text/format";
import { droppedFiles, pickedFiles } from "../files/dropped";
import { TextEditor } from "./text-editor";
import { Notice } from "./notice";

/** Most rows drawn; a job may have thousands of files. */
const SHOWN = 200;

interface Item {
  name: string;
  /** The text, if it is kept in the URL; other inputs have a ref. */
  text?: string;
  ref?: DataRef;
  piped?: boolean;
}

export function Inputs({ editor, jobFiles }: { editor: JobEditor; jobFiles: JobFiles }) {
  const over = useSignal(false);
  const opened = useSignal<string | null>(null);
  const naming = useSignal(false);
  const created = useSignal<string | null>(null);
  const items = itemsOf(editor);
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const drop = (data: DataTransfer | null) => {
    if (data !== null) void droppedFiles(data).then((found) => jobFiles.add(found));
  };
  return (
    <section
      aria-labelledby="inputs-title"
      class={over.value ? "inputs over" : "inputs"}
      data-testid="inputs"
      onDragOver={(event) => {
        event.preventDefault();
        over.value = true;
      }}
      onDragLeave={() => (over.value = false)}
      onDrop={(event) => {
        event.preventDefault();
        over.value = false;
        drop(event.dataTransfer);
      }}
    >
      <div class="section-head">
        <h2 id="inputs-title">
          Inputs {items.length > 0 && <span class="muted">{plural(items.length, "file")}</span>}
        </h2>
        <div class="section-tools">
          <button type="button" class="quiet" onClick={() => (naming.value = true)}>
            New text file
          </button>
          <button type="button" class="quiet" onClick={() => files.current?.click()}>
            Add files
          </button>
          <button type="button" class="quiet" onClick={() => folder.current?.click()}>
            Add folder
          </button>
        </div>
      </div>
      <FilePicker field={files} label="Files to add" onFiles={(list) => void jobFiles.add(pickedFiles(list))} />
      <FilePicker field={folder} label="A folder to add" folder onFiles={(list) => void jobFiles.add(pickedFiles(list))} />
      {naming.value && (
        <NewText
          taken={items.map(({ name }) => name)}
          onName={(name) => {
            naming.value = false;
            if (name === null) return;
            jobFiles.putText(name, "");
            opened.value = created.value = name;
          }}
        />
      )}
      {jobFiles.problem.value !== null && <Notice kind="error">{jobFiles.problem.value}</Notice>}
      {items.length === 0 && jobFiles.uploads.value.length === 0 && !naming.value && (
        <p class="empty">No inputs. Drop, paste or add files. The job finds them in $JOB_INPUTS, which is /inputs in a container.</p>
      )}
      <ul class="files">
        {items.slice(0, SHOWN).map((item) => (
          <InputRow
            key={item.name}
            item={item}
            jobFiles={jobFiles}
            open={opened.value === item.name}
            focused={created.value === item.name}
            onOpen={(open) => {
              opened.value = open ? item.name : null;
              created.value = null;
            }}
          />
        ))}
        {jobFiles.uploads.value.map((one) => (
          <UploadRow key={`upload ${one.name}`} one={one} jobFiles={jobFiles} />
        ))}
      </ul>
      {items.length > SHOWN && <p class="muted small">… and {plural(items.length - SHOWN, "more file")}</p>}
    </section>
  );
}

function itemsOf(editor: JobEditor): Item[] {
  const { job, files } = editor.params.value;
  const refs = { ...job?.configFiles, ...job?.inputs };
  const piped = editor.piped.value;
  return [
    ...Object.entries(files).map(([name, text]) => ({ name, text })),
    ...Object.entries(refs)
      .filter(([name]) => files[name] === undefined && piped[name] === undefined)
      .map(([name, ref]) => ({ name, ref })),
    ...Object.entries(piped).map(([name, ref]) => ({ name, ref, piped: true })),
  ].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function FilePicker(props: {
  field: { current: HTMLInputElement | null };
  label: string;
  folder?: boolean;
  onFiles: (list: FileList | null) => void;
}) {
  return (
    <input
      ref={props.field}
      type="file"
      class="offscreen"
      tabIndex={-1}
      aria-label={props.label}
      multiple
      {...(props.folder ? { webkitdirectory: true } : {})}
      onChange={(event) => {
        props.onFiles(event.currentTarget.files);
        event.currentTarget.value = "";
      }}
    />
  );
}

function NewText({ taken, onName }: { taken: string[]; onName: (name: string | null) => void }) {
  const name = useSignal("");
  const problem = taken.includes(name.value.trim()) ? "A file with this name already exists." : null;
  return (
    <form
      class="new-text"
      onSubmit={(event) => {
        event.preventDefault();
        if (name.value.trim() !== "" && problem === null) onName(name.value.trim());
      }}
    >
      <label>
        <span>Name of the new text file</span>
        <input
          ref={(field) => field?.focus()}
          placeholder="script.sh"
          autocomplete="off"
          spellcheck={false}
          value={name.value}
          onInput={(event) => (name.value = event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Escape" && onName(null)}
        />
      </label>
      <button type="submit">Create</button>
      <button type="button" class="quiet" onClick={() => onName(null)}>
        Cancel
      </button>
      <p class="field-problem">{problem}</p>
    </form>
  );
}

function InputRow(props: { item: Item; jobFiles: JobFiles; open: boolean; focused: boolean; onOpen: (open: boolean) => void }) {
  const { item, jobFiles, open, focused } = props;
  const [words, known] = about(item);
  const bytes = known ?? (item.ref?.type === "key" ? (jobFiles.sizes.value.get(String(item.ref.value)) ?? null) : null);
  const editable = item.piped !== true && (item.text !== undefined || item.ref?.type === "key" || isUtf8(item.ref));
  return (
    <li data-testid="input" data-name={item.name}>
      <div class="file">
        <span class="file-name">{item.name}</span>
        <span class="file-facts">
          <span>{words}</span>
          {bytes !== null && <span class="num">{size(bytes)}</span>}
        </span>
        <span class="file-actions">
          {editable && (
            <button
              type="button"
              class="quiet"
              aria-expanded={open}
              aria-label={open ? `Close ${item.name}` : `Edit ${item.name}`}
              onClick={() => props.onOpen(!open)}
            >
              {open ? "Close" : "Edit"}
            </button>
          )}
          {item.piped !== true && (
            <button type="button" class="quiet" aria-label={`Remove ${item.name}`} onClick={() => jobFiles.remove(item.name)}>
              Remove
            </button>
          )}
        </span>
      </div>
      {open && editable && <TextOf item={item} jobFiles={jobFiles} focused={focused} />}
    </li>
  );
}

/** The editor of a text, whether it is in the URL or on the hub. */
function TextOf({ item, jobFiles, focused }: { item: Item; jobFiles: JobFiles; focused: boolean }) {
  const sha256 = item.ref?.type === "key" ? String(item.ref.value) : null;
  const fetched = useSignal<string | null>(null);
  const problem = useSignal<string | null>(null);
  const text = item.text ?? (sha256 === null ? String(item.ref?.value ?? "") : (jobFiles.texts.get(sha256) ?? fetched.value));
  if (text === null && problem.value === null && sha256 !== null) {
    jobFiles.read(sha256).then(
      (read) => (fetched.value = read),
      (error: unknown) => (problem.value = sentence(error)),
    );
  }
  if (problem.value !== null) return <p class="field-problem">{problem.value}</p>;
  if (text === null) return <p class="muted">Loading…</p>;
  const put = (changed: string) => jobFiles.putText(item.name, changed);
  return <TextEditor name={item.name} label={`Text of ${item.name}`} text={text} focused={focused} onText={put} />;
}

function UploadRow({ one, jobFiles }: { one: Upload; jobFiles: JobFiles }) {
  const { stage, done } = one.progress.value;
  const problem = one.problem.value;
  const words = { reading: "Reading", sending: "Uploading", checking: "Checking" }[stage];
  return (
    <li data-testid="upload" data-name={one.name}>
      <div class="file">
        <span class="file-name">{one.name}</span>
        <span class="file-facts">
          {problem === null && (
            <>
              <span>{words}</span>
              <progress max={one.blob.size} value={done} aria-label={`${words} ${one.name}`} />
            </>
          )}
          <span class="num">{size(one.blob.size)}</span>
        </span>
        <span class="file-actions">
          {problem !== null && (
            <button type="button" class="quiet" aria-label={`Try again to upload ${one.name}`} onClick={() => jobFiles.again(one)}>
              Try again
            </button>
          )}
          <button type="button" class="quiet" aria-label={problem === null ? `Cancel the upload of ${one.name}` : `Remove ${one.name}`} onClick={() => jobFiles.cancel(one)}>
            {problem === null ? "Cancel" : "Remove"}
          </button>
        </span>
      </div>
      {problem !== null && (
        <p class="field-problem" role="alert">
          {problem}
        </p>
      )}
    </li>
  );
}

function isUtf8(ref: DataRef | undefined): boolean {
  return ref !== undefined && (ref.type ?? "utf8") === "utf8" && typeof ref.value === "string";
}

/** A description of an input, and its size in bytes if it is known. */
function about(item: Item): [string, number | null] {
  const from = item.piped === true ? "piped in, " : "";
  if (item.text !== undefined) return ["text", new TextEncoder().encode(item.text).length];
  const value = typeof item.ref?.value === "string" ? item.ref.value : JSON.stringify(item.ref?.value ?? null);
  switch (item.ref?.type ?? "utf8") {
    case "key":
      return [`${from}file ${value.slice(0, 8)}`, null];
    case "url":
      return [`${from}from ${value.slice(0, 60)}`, null];
    case "base64":
      return [`${from}bytes`, Math.floor((value.length * 3) / 4)];
    case "json":
      return [`${from}JSON`, value.length];
    default:
      return [`${from}text`, new TextEncoder().encode(value).length];
  }
}
