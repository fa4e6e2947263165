/** All that a click on Run will run: image or build, entrypoint, command, folder, variables, and the names of the files. */

import { asLines, type Line } from "../text/what-runs";
import type { Definition } from "../protocol/messages";
import { plural } from "../text/format";
import { Visible } from "./visible";

/** Length of a text, in characters and in lines, from which the box says that there is more than it shows. */
const LONG = { characters: 400, lines: 5 };

export function WhatRuns({ definition, defaultImage }: { definition: Definition; defaultImage: string }) {
  return (
    <dl class="runs" data-testid="what-runs">
      {asLines(definition, defaultImage).map((line) => (
        <Row key={line.label} line={line} />
      ))}
    </dl>
  );
}

function Row({ line: { label, texts, note } }: { line: Line }) {
  const characters = texts.reduce((sum, text) => sum + text.length, 0);
  const long = characters > LONG.characters || texts.join("\n").split("\n").length > LONG.lines;
  return (
    <>
      <dt>
        {label}
        {long && <span class="muted">{plural(characters, "character")}; scroll to read all</span>}
      </dt>
      <dd>
        {texts.length > 0 && (
          <pre tabIndex={0} data-field={label} aria-label={`What runs: ${label}`} role="region">
            {texts.map((text, at) => (
              <div key={at}>
                <Visible text={text} />
              </div>
            ))}
          </pre>
        )}
        {note !== "" && <span class="muted">{note}</span>}
      </dd>
    </>
  );
}
