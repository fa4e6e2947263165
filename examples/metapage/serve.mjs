// Serves the page of this folder, and the two packages that it uses.
// usage: node serve.mjs http://localhost:8000 my-queue [image [port]]       (needs `npm install` in this folder)
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const [hub, queue, image = "", port = "0"] = process.argv.slice(2);
if (!hub || !queue) {
  console.error("usage: node serve.mjs <hub> <queue> [image [port]]");
  process.exit(2);
}
const FILES = {
  "/": ["index.html", "text/html"],
  "/parent.mjs": ["parent.mjs", "text/javascript"],
  "/metapage.js": ["node_modules/@metapages/metapage/dist/index.js", "text/javascript"],
  "/hash-query.js": ["node_modules/@metapages/hash-query/dist/core/index.js", "text/javascript"],
};

const server = createServer(async (request, response) => {
  const [file, type] = FILES[request.url] ?? [];
  const body =
    request.url === "/settings.json"
      ? JSON.stringify({ hub, queue, image })
      : file && (await readFile(new URL(file, import.meta.url)).catch(() => null));
  response.writeHead(body ? 200 : 404, { "Content-Type": `${type ?? "application/json"}; charset=utf-8` });
  response.end(body ?? "");
});
server.listen(Number(port), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));
