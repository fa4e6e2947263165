/** A button that copies a text and confirms it, and a command with such a button. */

import { useState } from "preact/hooks";

export function CopyButton({ text, label, children }: { text: string | (() => string); label: string; children?: string }) {
  const [said, setSaid] = useState<string | null>(null);
  const copy = async () => {
    setSaid((await copied(typeof text === "string" ? text : text())) ? "Copied" : "Select and copy the text");
    setTimeout(() => setSaid(null), 1600);
  };
  return (
    <button type="button" class="quiet" title={label} onClick={() => void copy()}>
      <span aria-live="polite">{said ?? children ?? "Copy"}</span>
      <span class="offscreen"> ({label})</span>
    </button>
  );
}

export function Command({ text, label }: { text: string; label: string }) {
  return (
    <div class="command">
      <code tabIndex={0}>{text}</code>
      <CopyButton text={text} label={label} />
    </div>
  );
}

/** Copies a text. Without the clipboard API, which only secure pages have, a hidden field is used. */
async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "offscreen";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
