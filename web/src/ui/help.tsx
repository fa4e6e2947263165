/** The keys that work on this page, shown with `?`. */

import { useSignal } from "@preact/signals";
import { Dialog } from "./dialog";
import { keys, lettersOn, useKeys } from "./keys";

export function Help() {
  const shown = useSignal(false);
  useKeys([{ key: "?", says: "Show these keys", act: () => (shown.value = true) }]);
  if (!shown.value) return null;
  return (
    <Dialog title="Keys" onClose={() => (shown.value = false)}>
      <dl class="keys">
        {keys.value.map((each) => (
          <div key={`${each.key}${each.ctrl}`}>
            <dt>
              {each.ctrl && (
                <>
                  <kbd>Ctrl</kbd>{" "}
                </>
              )}
              <kbd>{each.key}</kbd>
            </dt>
            <dd>{each.says}</dd>
          </div>
        ))}
        <div>
          <dt>
            <kbd>Tab</kbd>
          </dt>
          <dd>Go to the next control; everything can be reached by it</dd>
        </div>
      </dl>
      <label class="check">
        <input type="checkbox" checked={lettersOn.value} onChange={(event) => (lettersOn.value = event.currentTarget.checked)} />
        Single letters are shortcuts
      </label>
    </Dialog>
  );
}
