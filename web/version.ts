import { readFileSync } from "node:fs";

const FILE = new URL("../shared/asman_shared/version.py", import.meta.url);

/** Reads the version of Asman from the one file that states it, for the build to put into the page. */
export function version(): string {
  const found = /^__version__: Final = "([^"]+)"$/m.exec(readFileSync(FILE, "utf-8"));
  if (found?.[1] === undefined) throw new Error(`${FILE.pathname} states no version`);
  return found[1];
}
