import { defineConfig } from "vitest/config";
import { version } from "./version";

export default defineConfig({
  define: { __ASMAN_VERSION__: JSON.stringify(version()) },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  test: { include: ["test/**/*.test.ts"], environment: "node", testTimeout: 120_000 },
});
