/** The settings of a job: a form and the JSON of one definition. Edits are applied while typing and can be undone. */

import { useSignal } from "@preact/signals";
import type { Build, Definition, Problem } from "../protocol/messages";
import type { JobEditor } from "../state/job-editor";
import { isObject } from "../job/address";
import { plural } from "../text/format";
import { TextEditor } from "./text-editor";
import { EnvRows, Field, Words } from "./fields";
import { useKeys } from "./keys";

export function Settings({ editor, defaultImage }: { editor: JobEditor; defaultImage: string }) {
  const view = useSignal<"form" | "json">("form");
  const problems = editor.validated.value?.problems ?? [];
  useKeys([
    { key: "z", ctrl: true, says: "Undo the last edit", act: () => editor.undo() },
    { key: "y", ctrl: true, says: "Redo", act: () => editor.redo() },
  ]);
  return (
    <section aria-labelledby="settings-title" class="settings" data-testid="settings">
      <div class="section-head">
        <h2 id="settings-title">
          Settings{" "}
          {problems.length > 0 && <span class="bad">{plural(problems.length, "problem")}</span>}
        </h2>
        <div class="section-tools">
          <button type="button" class="quiet" disabled={editor.past.value.length === 0} onClick={() => editor.undo()}>
            Undo
          </button>
          <button type="button" class="quiet" disabled={editor.future.value.length === 0} onClick={() => editor.redo()}>
            Redo
          </button>
          <span class="segments" role="group" aria-label="Settings view">
            <button type="button" aria-pressed={view.value === "form"} onClick={() => (view.value = "form")}>
              Form
            </button>
            <button type="button" aria-pressed={view.value === "json"} onClick={() => (view.value = "json")}>
              JSON
            </button>
          </span>
        </div>
      </div>
      {view.value === "form" ? <Form editor={editor} problems={problems} defaultImage={defaultImage} /> : <JsonForm editor={editor} problems={problems} />}
    </section>
  );
}

function Form({ editor, problems, defaultImage }: { editor: JobEditor; problems: readonly Problem[]; defaultImage: string }) {
  const job = editor.params.value.job ?? {};
  const built = useSignal(job.build !== undefined);
  const builds = built.value || job.build !== undefined;
  const set = (field: keyof Definition, value: unknown) =>
    editor.edit(field, (draft) => ({ ...draft, job: { ...draft.job, [field]: value } as Definition }));
  const need = (field: string, value: unknown) =>
    editor.edit(field, (draft) => ({ ...draft, job: { ...draft.job, requirements: compact({ ...draft.job.requirements, [field]: value }) } }));
  const wrong = (...paths: string[]) => {
    const found = problems.find(({ field }) => paths.some((path) => field === `definition.${path}` || field.startsWith(`definition.${path}.`)));
    return found?.message ?? null;
  };
  const shown = ["image", "build", "command", "entrypoint", "workdir", "env", "requirements", "maxDuration", "shmSize", "tags"];
  const others = problems.filter(({ field }) => !shown.some((path) => field.startsWith(`definition.${path}`)));
  const needs = job.requirements ?? {};
  return (
    <div class="form">
      {others.map(({ field, message }) => (
        <p key={field} class="field-problem" role="alert">
          {field.replace(/^definition\.?/, "") || "The definition"}: {message}
        </p>
      ))}
      <div class="form-row">
        <span class="segments" role="group" aria-label="Image source">
          <button
            type="button"
            aria-pressed={!builds}
            onClick={() => {
              built.value = false;
              if (job.build !== undefined) set("build", undefined);
            }}
          >
            Image
          </button>
          <button
            type="button"
            aria-pressed={builds}
            onClick={() => {
              built.value = true;
              if (job.image !== undefined) set("image", undefined);
            }}
          >
            Build
          </button>
        </span>
      </div>
      {builds ? (
        <BuildFields editor={editor} build={job.build ?? {}} wrong={wrong} />
      ) : (
        <Field
          label="Image"
          value={job.image ?? ""}
          placeholder={defaultImage || "alpine:3.20"}
          problem={wrong("image")}
          onText={(text) => set("image", text.trim())}
        />
      )}
      <Words label="Command" value={job.command} placeholder="sh -c 'echo hello'" problem={wrong("command")} onWords={(words) => set("command", words)} />
      <details class="more" open={job.entrypoint !== undefined || job.workdir !== undefined}>
        <summary>Entrypoint and working directory</summary>
        <Words label="Entrypoint" value={job.entrypoint} problem={wrong("entrypoint")} onWords={(words) => set("entrypoint", words)} />
        <Field label="Working directory" value={job.workdir ?? ""} problem={wrong("workdir")} onText={(text) => set("workdir", text)} />
      </details>
      <EnvRows env={job.env ?? {}} fixed={editor.params.value.env} problem={wrong("env")} onEnv={(env) => set("env", env)} />
      <div class="form-grid">
        <Field label="CPUs" value={text(needs.cpus)} placeholder="1" problem={wrong("requirements.cpus")} onText={(value) => need("cpus", numeric(value))} />
        <Field
          label="Memory"
          value={needs.memory ?? ""}
          placeholder="512MiB"
          problem={wrong("requirements.memory")}
          onText={(value) => need("memory", value.trim())}
        />
        <Field label="GPUs" value={text(needs.gpus)} placeholder="0" problem={wrong("requirements.gpus")} onText={(value) => need("gpus", numeric(value))} />
        <Field
          label="Time limit"
          value={job.maxDuration ?? ""}
          placeholder="20m"
          problem={wrong("maxDuration", "requirements.maxDuration")}
          onText={(value) => set("maxDuration", value.trim())}
        />
        <Field
          label="Shared memory"
          value={job.shmSize ?? ""}
          placeholder="64MiB"
          problem={wrong("shmSize")}
          onText={(value) => set("shmSize", value.trim())}
        />
        <Field
          label="Required worker tags"
          value={(job.tags ?? []).join(", ")}
          placeholder="gpu, lab"
          problem={wrong("tags")}
          onText={(value) => set("tags", list(value))}
        />
      </div>
    </div>
  );
}

function BuildFields({ editor, build, wrong }: { editor: JobEditor; build: Build; wrong: (...paths: string[]) => string | null }) {
  const set = (field: keyof Build, value: unknown) =>
    editor.edit(`build ${field}`, (draft) => ({ ...draft, job: { ...draft.job, build: compact({ ...draft.job.build, [field]: value }) as Build } }));
  const editing = useSignal(build.dockerfile !== undefined);
  return (
    <>
      <Field
        label="Repository or context"
        value={build.context ?? ""}
        placeholder="https://github.com/owner/name#main"
        problem={wrong("build.context", "build")}
        onText={(text) => set("context", text.trim())}
      />
      {editing.value ? (
        <div class="field">
          <span class="label">Dockerfile</span>
          <TextEditor name="Dockerfile" label="Dockerfile" text={build.dockerfile ?? ""} onText={(text) => set("dockerfile", text)} />
        </div>
      ) : (
        <button type="button" class="quiet start" onClick={() => (editing.value = true)}>
          Write a Dockerfile
        </button>
      )}
      <div class="form-grid">
        <Field label="Dockerfile name" value={build.filename ?? ""} placeholder="Dockerfile" problem={wrong("build.filename")} onText={(text) => set("filename", text.trim())} />
        <Field label="Target" value={build.target ?? ""} problem={wrong("build.target")} onText={(text) => set("target", text.trim())} />
        <Field label="Platform" value={build.platform ?? ""} placeholder="linux/amd64" problem={wrong("build.platform")} onText={(text) => set("platform", text.trim())} />
        <Field
          label="Build arguments"
          value={(build.buildArgs ?? []).join(", ")}
          placeholder="NAME=value, …"
          problem={wrong("build.buildArgs")}
          onText={(text) => set("buildArgs", list(text))}
        />
      </div>
    </>
  );
}

/** The definition as JSON text; a text that can't be parsed is reported and not applied. */
function JsonForm({ editor, problems }: { editor: JobEditor; problems: readonly Problem[] }) {
  const job = editor.params.value.job ?? {};
  const wrong = useSignal<string | null>(null);
  const written = useSignal<string | null>(null);
  const said = JSON.stringify(job, null, 2);
  const same = written.value !== null && sameJson(written.value, job);
  return (
    <div class="form">
      <TextEditor
        name="definition.json"
        label="The definition as JSON"
        text={wrong.value !== null || same ? (written.value as string) : said}
        onText={(text) => {
          written.value = text;
          try {
            const value = JSON.parse(text) as unknown;
            if (!isObject(value)) throw new Error("a definition must be a JSON object");
            wrong.value = null;
            editor.edit("json", (draft) => ({ ...draft, job: value as Definition }));
          } catch (error) {
            wrong.value = `Not applied: ${(error as Error).message}`;
          }
        }}
      />
      <p class="field-problem" role="status">
        {wrong.value ?? problems.map(({ field, message }) => `${field}: ${message}`).join("; ")}
      </p>
      <p class="muted small">Short text files are not part of this JSON. Edit them under Inputs.</p>
    </div>
  );
}

function sameJson(written: string, job: Definition): boolean {
  try {
    return JSON.stringify(JSON.parse(written)) === JSON.stringify(job);
  } catch {
    return false;
  }
}

function compact<T extends object>(of: T): T {
  return Object.fromEntries(Object.entries(of).filter(([, value]) => value !== undefined && value !== "" && !isEmpty(value))) as T;
}

function isEmpty(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

/** Parses a number; any other text is returned unchanged, and the hub reports the problem. */
function numeric(value: string): number | string | undefined {
  const trimmed = value.trim();
  if (trimmed === "") return undefined;
  return Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}

function text(value: unknown): string {
  return value === undefined || value === null ? "" : String(value);
}

function list(value: string): string[] | undefined {
  const parts = value.split(",").map((part) => part.trim()).filter((part) => part !== "");
  return parts.length === 0 ? undefined : parts;
}
