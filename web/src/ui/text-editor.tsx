/** An editor for a text: a plain field at first, the code editor as soon as it is loaded. */

import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { CodeEditor } from "../extra/code-editor";
import { Typed } from "../text/typed";

export function TextEditor(props: {
  name: string;
  label: string;
  text: string;
  /** Whether it takes the focus when it appears. */
  focused?: boolean;
  onText: (text: string) => void;
}) {
  const { name, label, text } = props;
  const typed = useRef<Typed | null>(null);
  typed.current ??= new Typed(text);
  const place = useRef<HTMLDivElement>(null);
  const editor = useRef<CodeEditor | null>(null);
  const newest = useRef(props);
  newest.current = props;
  const first = useRef(text);
  const field = useRef<HTMLTextAreaElement>(null);
  const loaded = useSignal(false);
  const write = (changed: string) => {
    typed.current?.wrote(changed);
    newest.current.onText(changed);
  };

  // Before the next key, which would otherwise go to the page.
  useLayoutEffect(() => {
    if (newest.current.focused === true) field.current?.focus();
  }, []);

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
          onText: write,
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

  // The keeper's text may be older than what has been typed since: only a text from elsewhere replaces it.
  useLayoutEffect(() => {
    if (typed.current?.isNews(text) !== true) return;
    if (editor.current !== null) editor.current.show(text);
    else if (field.current !== null) field.current.value = text;
  }, [text]);

  return (
    <div class="editor">
      <div ref={place} />
      {!loaded.value && (
        <textarea
          ref={field}
          rows={8}
          spellcheck={false}
          aria-label={label}
          defaultValue={first.current}
          onInput={(event) => write(event.currentTarget.value)}
        />
      )}
    </div>
  );
}
