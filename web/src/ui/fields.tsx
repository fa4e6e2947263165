/** Form fields that keep the text being typed and show the problem with it. */

import { useSignal } from "@preact/signals";
import { useEffect, useId } from "preact/hooks";

export function Field(props: {
  label: string;
  value: string;
  placeholder?: string;
  problem?: string | null;
  rows?: number;
  onText: (text: string) => void;
}) {
  const id = useId();
  // While a person types, the text stays as typed: `1.` is not replaced by its value `1`.
  const typed = useSignal(props.value);
  const focused = useSignal(false);
  useEffect(() => {
    if (!focused.peek()) typed.value = props.value;
  }, [props.value, typed, focused]);
  const wrong = props.problem ?? null;
  const common = {
    id,
    value: typed.value,
    placeholder: props.placeholder,
    autocomplete: "off",
    autocapitalize: "off" as const,
    spellcheck: false,
    "aria-invalid": wrong !== null,
    "aria-describedby": wrong === null ? undefined : `${id}-problem`,
    onFocus: () => (focused.value = true),
    onBlur: () => {
      focused.value = false;
      typed.value = props.value;
    },
    onInput: (event: { currentTarget: HTMLInputElement | HTMLTextAreaElement }) => {
      typed.value = event.currentTarget.value;
      props.onText(typed.value);
    },
  };
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.rows === undefined ? <input {...common} /> : <textarea {...common} rows={props.rows} />}
      {wrong !== null && (
        <p class="field-problem" id={`${id}-problem`}>
          {wrong}
        </p>
      )}
    </div>
  );
}

/** A field for a command: words in shell syntax, or a JSON list of arguments. */
export function Words(props: {
  label: string;
  value: string | string[] | undefined;
  placeholder?: string;
  problem?: string | null;
  onWords: (words: string | string[]) => void;
}) {
  const said = Array.isArray(props.value) ? JSON.stringify(props.value) : (props.value ?? "");
  const rows = Math.min(10, Math.max(1, said.split("\n").length, Math.ceil(said.length / 48)));
  return (
    <Field
      label={props.label}
      value={said}
      rows={rows}
      problem={props.problem ?? null}
      {...(props.placeholder === undefined ? {} : { placeholder: props.placeholder })}
      onText={(text) => props.onWords(asList(text) ?? text)}
    />
  );
}

function asList(text: string): string[] | null {
  if (!text.trim().startsWith("[")) return null;
  try {
    const value = JSON.parse(text) as unknown;
    return Array.isArray(value) && value.every((word) => typeof word === "string") ? value : null;
  } catch {
    return null;
  }
}

/** Fields for environment variables, one in each row. Variables from the URL are shown and can't be edited. */
export function EnvRows(props: {
  env: Readonly<Record<string, string>>;
  fixed: Readonly<Record<string, string>>;
  problem: string | null;
  onEnv: (env: Record<string, string>) => void;
}) {
  const rows = Object.entries(props.env);
  const change = (at: number, name: string, value: string) => {
    const changed = rows.map((row, n) => (n === at ? ([name, value] as const) : row));
    if (at === rows.length) changed.push([name, value]);
    props.onEnv(Object.fromEntries(changed.filter(([key]) => key !== "")));
  };
  return (
    <fieldset class="env">
      <legend>Environment</legend>
      {[...rows, ["", ""] as const].map(([name, value], at) => (
        <div class="env-row" key={at}>
          <EnvField label={`Name of variable ${at + 1}`} value={name} placeholder="NAME" onText={(text) => change(at, text.trim(), value)} />
          <EnvField label={`Value of ${name || "the new variable"}`} value={value} placeholder="value" disabled={name === ""} onText={(text) => change(at, name, text)} />
          <button type="button" class="quiet" aria-label={`Remove ${name}`} disabled={name === ""} onClick={() => change(at, "", "")}>
            ×
          </button>
        </div>
      ))}
      {Object.entries(props.fixed).map(([name, value]) => (
        <p class="small muted" key={name}>
          <code>{`${name}=${value}`}</code> from the URL
        </p>
      ))}
      {props.problem !== null && <p class="field-problem">{props.problem}</p>}
    </fieldset>
  );
}

function EnvField(props: { label: string; value: string; placeholder: string; disabled?: boolean; onText: (text: string) => void }) {
  return (
    <input
      aria-label={props.label}
      placeholder={props.placeholder}
      autocomplete="off"
      autocapitalize="off"
      spellcheck={false}
      disabled={props.disabled ?? false}
      value={props.value}
      onInput={(event) => props.onText(event.currentTarget.value)}
    />
  );
}
