import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { version } from "./version";

/** Where a hub listens while the page is developed; `ASMAN_HUB=http://127.0.0.1:9000 npm run dev` names another. */
const hub = process.env["ASMAN_HUB"] ?? "http://127.0.0.1:8000";

const wantsPage = (accept: string | undefined) => accept?.includes("text/html") ?? false;

/** What the hub answers is passed on to it; a browser that asks for a page gets the one being developed. */
const passOn = {
  target: hub,
  ws: true,
  bypass: (request: { headers: { accept?: string | undefined }; url?: string | undefined }) =>
    wantsPage(request.headers.accept) && !/\/(outputs|inputs)\//.test(request.url ?? "") ? "/index.html" : undefined,
};

export default defineConfig({
  base: "/",
  define: { __ASMAN_VERSION__: JSON.stringify(version()) },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    // The page is part of the hub's package, which serves it.
    outDir: fileURLToPath(new URL("../server/asman_server/page", import.meta.url)),
    emptyOutDir: true,
    // Which part loads which: the size of a first load is checked by it.
    manifest: "manifest.json",
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { "^/(q|j|b)/": passOn, "^/(healthz|metaframe.json|openapi.json)$": { target: hub } },
  },
});
