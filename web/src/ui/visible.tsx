/** A text of a stranger in which hidden characters are named, and are told apart from a text that spells such a name. */

import { visibleParts } from "../text/visible";

export function Visible({ text }: { text: string }) {
  return (
    <bdo dir="ltr">
      {visibleParts(text).map(({ text: part, mark }, at) =>
        mark ? (
          <mark key={at} class="hidden-sign">
            {part}
          </mark>
        ) : (
          part
        ),
      )}
    </bdo>
  );
}
