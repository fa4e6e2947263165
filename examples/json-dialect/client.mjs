// A client of the JSON dialect: submits a job, follows it, reads its outputs; submits another and cancels it.
// usage: node client.mjs http://localhost:8000 my-queue       (needs `npm install` in this folder)
import { createHash } from "node:crypto";
import WebSocket from "ws";

const [hub, queue] = process.argv.slice(2);
const DEADLINE = setTimeout(() => fail("it took longer than a minute"), 60_000);
const fail = (why) => {
  console.error(`error: ${why}`);
  process.exit(1);
};

// A job's id is the sha256 of its definition with sorted keys and without empty parts (docs/dialect.md).
const canonical = (value) =>
  Array.isArray(value)
    ? `[${value.map(canonical)}]`
    : value && typeof value === "object"
      ? `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`)}}`
      : JSON.stringify(value);
const idOf = (definition) => createHash("sha256").update(canonical(definition)).digest("hex");

let jobs = {}; // as the hub last said
const waiting = new Set(); // {job, wanted, done}
const socket = new WebSocket(`${hub.replace("http", "ws")}/q/${queue}/client`);
socket.on("error", (error) => fail(`the hub can't be reached: ${error.message}`));

socket.on("message", (frame) => {
  const text = frame.toString();
  if (!text.startsWith("{")) return; // PONG
  const { type, payload } = JSON.parse(text);
  if (type === "JobStatusPayload") for (const [line] of payload.logs) process.stdout.write(`log: ${line}`);
  if (type !== "JobStates" && type !== "JobStateUpdates") return;
  jobs = payload.isSubset ? { ...jobs, ...payload.state.jobs } : payload.state.jobs;
  for (const each of waiting) {
    if (!each.wanted(jobs[each.job])) continue;
    waiting.delete(each);
    each.done(jobs[each.job]);
  }
});

const until = (job, wanted) => new Promise((done) => waiting.add({ job, wanted, done }));
const change = (state, job, value) =>
  socket.send(
    JSON.stringify({
      type: "StateChange",
      payload: { tag: "", state, job, value: { type: state, time: Date.now(), ...value } },
    }),
  );

// A submission may be sent again until the job is seen: the hub takes it once.
async function submit(definition) {
  const job = idOf(definition);
  const send = () => change("Queued", job, { enqueued: { id: job, definition } });
  send();
  const again = setInterval(send, 1000);
  await until(job, (seen) => seen);
  clearInterval(again);
  return job;
}

await new Promise((open) => socket.once("open", open));
const pings = setInterval(() => socket.send("PING"), 5000);

const command = ["sh", "-c", "echo counting; wc -w < $JOB_INPUTS/text.txt | tr -d ' ' > $JOB_OUTPUTS/words.txt"];
const counted = await submit({ command, inputs: { "text.txt": { value: "one two three" } } });
console.log(`submitted ${counted}`);
const finished = await until(counted, (seen) => seen?.state === "Finished");
const { data } = await (await fetch(`${hub}/q/${queue}/j/${counted}/result.json`)).json();
console.log(`finished: ${finished.finishedReason}, exit code ${data.finished.result.StatusCode}`);
for (const name of Object.keys(data.finished.result.outputs ?? {})) {
  const output = await (await fetch(`${hub}/q/${queue}/j/${counted}/outputs/${name}`)).text();
  console.log(`output ${name}: ${output.trim()}`);
}

const long = await submit({ command: ["sh", "-c", `sleep 60 # ${Date.now()}`] });
change("Finished", long, { reason: "Cancelled" });
await until(long, (seen) => !seen); // a cancelled job is simply absent
console.log(`cancelled ${long}`);

clearTimeout(DEADLINE);
clearInterval(pings);
socket.close();
