/** An editor for a text: a plain field at first, the code editor as soon as it is loaded. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { CodeEditor } from "../extra/code-editor";

export function TextEditor(props: { name: string; label: string; text: string; onText: (text: string) => void }) {
  const { name, label, text } = props;
  const place = useRef<HTMLDivElement>(null);
  const editor = useRef<CodeEditor | null>(null);
  const newest = useRef(props);
  newest.current = props;
  const field = useRef<HTMLTextAreaElement>(null);
  const loaded = useSignal(false);

  useEffect(() => {
    let gone = false;
    import("../extra/code-editor").then(
      ({ openEditor }) => {
        if (gone || place.current === null) return;
        const plain = field.current;
        const typing = plain !== null && plain === document.activeElement;
        editor.current = openEditor(place.current, {
          name,
          label,
          text: plain?.value ?? newest.current.text,
          onText: (changed) => newest.current.onText(changed),
        });
        // Keep the focus and the selection of a person who is already typing.
        if (typing) editor.current.focus(plain.selectionStart, plain.selectionEnd);
        loaded.value = true;
      },
      // The plain field stays when the code editor can't be loaded.
      () => undefined,
    );
    return () => {
      gone = true;
      editor.current?.close();
      editor.current = null;
    };
  }, [name, label, loaded]);

  useEffect(() => editor.current?.show(text), [text]);

  return (
    <div class="editor">
      <div ref={place} />
      {!loaded.value && (
        <textarea
          ref={field}
          rows={8}
          spellcheck={false}
          aria-label={label}
          value={text}
          onInput={(event) => props.onText(event.currentTarget.value)}
        />
      )}
    </div>
  );
}
