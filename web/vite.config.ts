import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { version } from "./version";

/** URL of the hub during development; set it by `ASMAN_HUB=http://127.0.0.1:9000 npm run dev`. */
const hub = process.env["ASMAN_HUB"] ?? "http://127.0.0.1:8000";

const wantsPage = (accept: string | undefined) => accept?.includes("text/html") ?? false;

/** Forwards requests to the hub, except requests for a page, which get the page being developed. */
const passOn = {
  target: hub,
  ws: true,
  bypass: (request: { headers: { accept?: string | undefined }; url?: string | undefined }) =>
    wantsPage(request.headers.accept) && !/\/(outputs|inputs)\//.test(request.url ?? "") ? "/index.html" : undefined,
};

export default defineConfig({
  // The hub may be served below a path of a proxy: parts of the page find each other relatively.
  base: "./",
  // The hub puts a nonce of its own into each response; no other script of its origin runs.
  html: { cspNonce: "ASMAN-NONCE" },
  define: { __ASMAN_VERSION__: JSON.stringify(version()) },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    // The hub's package contains the built page and serves it.
    outDir: fileURLToPath(new URL("../server/asman_server/page", import.meta.url)),
    emptyOutDir: true,
    // A test reads from the manifest which files a first load needs.
    manifest: "manifest.json",
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { "^/(q|j|b)/": passOn, "^/(healthz|metaframe.json|openapi.json|llms.txt|docs(/.*)?)$": { target: hub } },
  },
});
