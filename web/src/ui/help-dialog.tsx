/** The dialog that lists the keyboard shortcuts of this page; loaded when it is opened. */

import { Dialog } from "./dialog";
import { keys, lettersOn } from "./keys";

export function HelpDialog({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose}>
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
          <dd>Go to the next control; every control can be reached this way</dd>
        </div>
      </dl>
      <label class="check">
        <input type="checkbox" checked={lettersOn.value} onChange={(event) => (lettersOn.value = event.currentTarget.checked)} />
        Use single-letter shortcuts
      </label>
    </Dialog>
  );
}
