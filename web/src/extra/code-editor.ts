/** The code editor for scripts, Dockerfiles and definitions; loaded when one is opened. */

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { bracketMatching, HighlightStyle, indentOnInput, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { dockerFile } from "@codemirror/legacy-modes/mode/dockerfile";
import { javascript } from "@codemirror/legacy-modes/mode/javascript";
import { python } from "@codemirror/legacy-modes/mode/python";
import { r } from "@codemirror/legacy-modes/mode/r";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import { yaml } from "@codemirror/legacy-modes/mode/yaml";
import { EditorState, type Extension } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

export interface CodeEditor {
  /** Replaces the text, unless it is unchanged. */
  show: (text: string) => void;
  /** Takes the focus and selects this part of the text. */
  focus: (from: number, to: number) => void;
  close: () => void;
}

const LOOK = EditorView.theme({
  "&": { fontSize: "12.5px", backgroundColor: "var(--surface)", color: "var(--text)" },
  ".cm-content": { fontFamily: "var(--mono)", caretColor: "var(--text)", padding: "6px 0" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--muted)", border: "0" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--hover)" },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "-1px" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { background: "var(--selection) !important" },
  ".cm-scroller": { maxHeight: "420px", overflow: "auto" },
});

const COLOURS = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.definitionKeyword], color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.propertyName, tags.variableName, tags.attributeName], color: "var(--text)" },
  { tag: [tags.standard(tags.variableName), tags.standard(tags.name)], color: "var(--code-name)" },
]);

function languageOf(name: string): Extension {
  const file = name.split("/").at(-1)?.toLowerCase() ?? "";
  if (/dockerfile/.test(file)) return StreamLanguage.define(dockerFile);
  if (/\.(sh|bash)$/.test(file)) return StreamLanguage.define(shell);
  if (/\.py$/.test(file)) return StreamLanguage.define(python);
  if (/\.[cm]?[jt]sx?$/.test(file)) return StreamLanguage.define(javascript);
  if (/\.ya?ml$/.test(file)) return StreamLanguage.define(yaml);
  if (/\.r$/.test(file)) return StreamLanguage.define(r);
  return /\.json$/.test(file) ? json() : [];
}

export function openEditor(
  parent: HTMLElement,
  options: { name: string; label: string; text: string; onText: (text: string) => void },
): CodeEditor {
  let shown = options.text;
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        lineNumbers(),
        history(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        highlightActiveLine(),
        EditorView.lineWrapping,
        // Tab is not bound: it moves to the next control, so that keyboard users can leave the editor.
        keymap.of([...defaultKeymap, ...historyKeymap]),
        syntaxHighlighting(COLOURS),
        languageOf(options.name),
        LOOK,
        EditorView.contentAttributes.of({ "aria-label": options.label, spellcheck: "false" }),
        EditorView.updateListener.of((update) => {
          if (!update.docChanged) return;
          shown = view.state.doc.toString();
          if (!update.transactions.some((each) => each.isUserEvent("outside"))) options.onText(shown);
        }),
      ],
    }),
  });
  return {
    show: (text) => {
      if (text === shown) return;
      shown = text;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text }, userEvent: "outside" });
    },
    focus: (from, to) => {
      const { length } = view.state.doc;
      view.dispatch({ selection: { anchor: Math.min(from, length), head: Math.min(to, length) } });
      view.focus();
    },
    close: () => view.destroy(),
  };
}
