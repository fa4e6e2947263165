/** A message about a problem or a completed action, next to the part that it is about. */

import type { ComponentChildren } from "preact";

export function Notice({ kind, children }: { kind: "error" | "info"; children: ComponentChildren }) {
  return (
    <div class={`notice ${kind}`} role={kind === "error" ? "alert" : "status"}>
      {children}
    </div>
  );
}
