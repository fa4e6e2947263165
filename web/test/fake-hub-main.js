/** Serves the built page with a fake hub that plays a small scene: `npm run fake-hub -- 8000`. */

import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { FakeHub } from "./fake-hub.js";

const page = new URL("../../server/asman_server/page/", import.meta.url);
/** @type {Record<string, string>} */
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

const hub = new FakeHub();
hub.server.removeAllListeners("request");
hub.server.on("request", async (request, response) => {
  const path = new URL(request.url ?? "/", "http://hub").pathname;
  const name = path.startsWith("/assets/") ? path.slice(1) : "index.html";
  try {
    const body = await readFile(new URL(name, page));
    response
      .writeHead(200, {
        "content-type": types[extname(name)] ?? "application/octet-stream",
        "content-security-policy": "default-src 'self'; img-src 'self' data:",
      })
      .end(body);
  } catch {
    response.writeHead(404).end();
  }
});

const GIB = 1024 ** 3;
const ago = (/** @type {number} */ seconds) => Date.now() - Math.round(seconds * 1000);
const id = (/** @type {number} */ n) => (n * 2654435761 >>> 0).toString(16).padStart(8, "0").repeat(8);

hub.worker({
  id: "w-ab12", rev: 1, state: "ready", name: "bench-01", agent: "asman-worker/0.1.0", cpus: 16, used_cpus: 6, memory: 64 * GIB,
  used_memory: 21 * GIB, gpus: 2, used_gpus: 1, jobs: 3, platform: "linux/amd64", executor: "docker", since: ago(9000),
});
hub.worker({
  id: "w-cd34", rev: 1, state: "draining", name: "laptop-of-mira", agent: "asman-worker/0.1.0", cpus: 8, used_cpus: 1,
  memory: 16 * GIB, used_memory: 2.5 * GIB, jobs: 1, platform: "linux/arm64", executor: "docker", tags: ["gpu-free", "fast-disk"],
});

const commands = [
  ["python fit.py --seed 7 --data /inputs/scan.h5", "ghcr.example/lab/fit:2.1"],
  ["sh -c 'cat /inputs/README.md > /outputs/readme-copied.md'", "alpine:3.20"],
  ["ffmpeg -i /inputs/clip.mov -vf scale=1280:-2 -c:v libx264 -crf 21 -preset slow /outputs/clip.mp4", "linuxserver/ffmpeg:7.1"],
  ["", "hello-world:latest"],
  ["make -j8 test", ""],
];
const ends = [
  { ok: true, reason: "Success", exit_code: 0, outputs: 2, lines: 42, duration: 5321 },
  { ok: false, reason: "Failed", exit_code: 3, lines: 42, duration: 812 },
  { ok: false, reason: "Error", message: "the image 'ghcr.example/lab/fit:2.1' was not found in its registry", hint: "Check its name, or log in on the worker.", fault: "job", lines: 2 },
  { ok: false, reason: "TimedOut", message: "it ran longer than its limit of 20m", lines: 42, duration: 1200000 },
  { ok: false, reason: "Cancelled" },
  { ok: true, reason: "Success", exit_code: 0, outputs: 0, lines: 42, duration: 61321 },
  { ok: false, reason: "OutOfMemory", exit_code: 137, lines: 42, duration: 90321 },
  { ok: false, reason: "WorkerLost", message: "3 workers were lost while they ran it" },
];
const total = Number(process.argv[3] ?? 240);
for (let n = total; n > 0; n--) {
  const [command, image] = commands[n % commands.length] ?? [];
  const verdict = ends[n % ends.length];
  const running = n > 3 && n <= 6;
  const queued = n <= 3;
  const since = n * 97;
  const job = {
    id: id(n), rev: 5, attempt: queued ? 0 : 1, queued: ago(since), worker: queued ? "" : n % 3 ? "w-ab12" : "w-cd34",
    started: queued ? 0 : ago(since - 4), finished: queued || running ? 0 : ago(since - 4 - (verdict?.duration ?? 900) / 1000),
    state: queued ? "Queued" : running ? "Running" : "Finished", phase: running ? (n === 4 ? "running" : n === 5 ? "pulling" : "uploading") : undefined,
    verdict: queued || running ? undefined : verdict, summary: { command, image },
  };
  const definition = {
    image: image || undefined, command: command || undefined, env: { SEED: "7", MODE: "quick look" },
    inputs: { "README.md": { type: "utf8", value: "# Read me\n" }, "scan.h5": { type: "key", value: "ab".repeat(32) } },
    requirements: { cpus: 2, memory: "4g" }, maxDuration: "20m",
  };
  hub.jobs.set(job.id, {
    job, definition,
    result: job.state !== "Finished" ? undefined : {
      outputs: {
        "figures/fit quality.png": { ref: { type: "key", value: "cd".repeat(32) }, size: 482113, sha256: "cd".repeat(32), media_type: "image/png" },
        "readme-copied.md": { ref: { type: "key", value: "ef".repeat(32) }, size: 1290, sha256: "ef".repeat(32), media_type: "text/markdown" },
      },
      phases: { staging: 41, pulling: 2310, running: 2830, uploading: 140 },
    },
    lines: Array.from({ length: 42 }, (_, seq) =>
      seq < 2 ? [seq, ago(since), 2, "pulled 3 layers, 48 MiB", "pulling"]
        : seq % 11 === 5 ? [seq, ago(since), 1, `warning: \u001b[33mresidual above tolerance\u001b[0m in bin ${seq}`, "running"]
          : [seq, ago(since), 0, `step ${seq}  loss=${(1 / seq).toFixed(5)}  ${seq % 7 ? "" : "a long line that tells at length what the fit is doing right now, ".repeat(3)}`, "running"]),
  });
}
const live = id(4);
let step = 0;
setInterval(() => {
  step += 1;
  hub.log(live, `live line ${step}`, step % 9 === 0 ? 1 : 0);
}, 250);

const port = await hub.listen(Number(process.argv[2] ?? 8000));
process.stdout.write(`fake hub: open /q/demo-queue-7f3k9q2m on port ${port}\n`);
