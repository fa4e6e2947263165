/** What the job is: its definition, field by field and as JSON. */

import type { DataRef, Definition } from "../protocol/messages";
import type { OpenJob } from "../state/session";
import { plural, size } from "../text/format";
import { CopyButton } from "./copy";

export function DefinitionView({ open }: { open: OpenJob }) {
  const definition = open.definition.value;
  if (definition === null) return null;
  const json = JSON.stringify(definition, null, 2);
  return (
    <section aria-labelledby="definition-title">
      <h2 id="definition-title">Definition</h2>
      <dl class="fields">
        {fields(definition).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              <code>{value}</code>
            </dd>
          </div>
        ))}
        <Refs name="Inputs" refs={definition.inputs} />
        <Refs name="Config files" refs={definition.configFiles} />
        {Object.keys(definition.env ?? {}).length > 0 && (
          <div>
            <dt>Environment</dt>
            <dd>
              {Object.entries(definition.env ?? {}).map(([name, value]) => (
                <code class="block" key={name}>{`${name}=${value}`}</code>
              ))}
            </dd>
          </div>
        )}
      </dl>
      <details class="more">
        <summary>As JSON</summary>
        <div class="json">
          <CopyButton text={json} label="Copy the definition as JSON" />
          <pre tabIndex={0}>{json}</pre>
        </div>
      </details>
    </section>
  );
}

function fields(definition: Definition): [string, string][] {
  const words = (value: string | string[] | undefined) => (Array.isArray(value) ? JSON.stringify(value) : value);
  const { build, requirements } = definition;
  const needs = Object.entries(requirements ?? {}).map(([name, value]) => `${name} ${value}`);
  const all: [string, string | undefined][] = [
    ["Image", definition.image],
    ["Build", build && (build.context ?? build.filename ?? "from a Dockerfile")],
    ["Command", words(definition.command)],
    ["Entrypoint", words(definition.entrypoint)],
    ["Working directory", definition.workdir],
    ["Needs", needs.join(", ")],
    ["Tags", definition.tags?.join(", ")],
    ["Time limit", definition.maxDuration],
    ["Shared memory", definition.shmSize],
  ];
  return all.filter((field): field is [string, string] => field[1] !== undefined && field[1] !== "");
}

function Refs({ name, refs }: { name: string; refs: Record<string, DataRef> | undefined }) {
  const entries = Object.entries(refs ?? {});
  if (entries.length === 0) return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {entries.slice(0, 200).map(([path, ref]) => (
          <div class="ref" key={path}>
            <code>{path}</code> <span class="muted">{refWords(ref)}</span>
          </div>
        ))}
        {entries.length > 200 && <span class="muted">and {plural(entries.length - 200, "more file", "more files")}</span>}
      </dd>
    </div>
  );
}

function refWords(ref: DataRef): string {
  const text = typeof ref.value === "string" ? ref.value : JSON.stringify(ref.value);
  switch (ref.type ?? "utf8") {
    case "key":
      return `file ${text.slice(0, 12)}…`;
    case "url":
      return text;
    case "base64":
      return `bytes, ${size(Math.floor((text.length * 3) / 4))}`;
    case "json":
      return `JSON, ${size(text.length)}`;
    default:
      return `text, ${size(new TextEncoder().encode(text).length)}`;
  }
}
