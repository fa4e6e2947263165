/** The shortcut `?`, which works from the start, also while the dialog is still loading. */

import { useSignal } from "@preact/signals";
import { useKeys } from "./keys";
import { lazy } from "./lazy";

const HelpDialog = lazy(() => import("./help-dialog").then((part) => part.HelpDialog));

export function Help() {
  const shown = useSignal(false);
  useKeys([{ key: "?", says: "Show keyboard shortcuts", act: () => (shown.value = true) }]);
  return shown.value ? <HelpDialog onClose={() => (shown.value = false)} /> : null;
}
