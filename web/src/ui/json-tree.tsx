/** A tree view of JSON. Closed branches are not drawn, and long lists are drawn in pieces. */

import { useSignal } from "@preact/signals";
import { count, plural } from "../text/format";

/** Number of entries drawn at first, and more on each click. */
const PIECE = 100;

export function JsonTree({ value }: { value: unknown }) {
  return (
    <div class="json-tree" tabIndex={0} role="region" aria-label="JSON">
      <Node value={value} depth={0} />
    </div>
  );
}

function Node({ name, value, depth }: { name?: string; value: unknown; depth: number }) {
  if (typeof value !== "object" || value === null) {
    return (
      <div class="leaf">
        {name !== undefined && <span class="json-name">{name}: </span>}
        <span class={`json-${value === null ? "null" : typeof value}`}>{JSON.stringify(value)}</span>
      </div>
    );
  }
  return <Branch name={name} value={value} depth={depth} />;
}

function Branch({ name, value, depth }: { name?: string | undefined; value: object; depth: number }) {
  const entries = Object.entries(value);
  const open = useSignal(depth < 1 || (depth < 2 && entries.length <= 10));
  const shown = useSignal(PIECE);
  const [left, right] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  return (
    <details open={open.value} onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>
        {name !== undefined && <span class="json-name">{name}: </span>}
        <span class="muted">
          {`${left}${entries.length === 0 ? "" : "…"}${right} ${counted(entries.length, left === "[")}`}
        </span>
      </summary>
      {open.value && entries.slice(0, shown.value).map(([key, each]) => <Node key={key} name={key} value={each} depth={depth + 1} />)}
      {open.value && entries.length > shown.value && (
        <button type="button" class="quiet" onClick={() => (shown.value += PIECE)}>
          {count(entries.length - shown.value)} more
        </button>
      )}
    </details>
  );
}

/** The number of entries in words, which nobody takes for one of them. */
function counted(entries: number, list: boolean): string {
  return list ? plural(entries, "item") : plural(entries, "key");
}
