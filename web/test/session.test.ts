import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "./eventually";
import { WebSocket as NodeSocket } from "ws";
import { Backoff } from "../src/protocol/backoff";
import { progressOf, Session } from "../src/state/session";
import { FakeHub } from "./fake-hub.js";

describe("a session", () => {
  let hub: FakeHub;
  let session: Session;

  beforeEach(async () => {
    hub = new FakeHub();
    await hub.listen();
    session = new Session({
      url: hub.url,
      socket: (url, subprotocol) => new NodeSocket(url, subprotocol) as unknown as WebSocket,
      backoff: new Backoff({ first: 5, most: 10 }),
      schedule: (work) => void setTimeout(work, 0),
    });
    session.start();
    await eventually(() => expect(session.store.listed.value).toBe(true));
  });

  afterEach(async () => {
    session.stop();
    await hub.close();
  });

  const order = () => session.store.order.value;
  const text = () => {
    const log = session.opened.value?.log;
    return log && Array.from({ length: log.length }, (_, at) => log.text(at));
  };
  const peer = () => [...hub.peers][0];

  it("lists the jobs and follows their changes", async () => {
    hub.worker({ id: "w", rev: 1, state: "ready", name: "bench" });
    hub.add({ id: "a", rev: 1, state: "Queued", queued: 5, summary: { command: "echo" } });
    await eventually(() => expect(order()).toEqual(["a"]));
    hub.change("a", { state: "Running", phase: "running" });
    await eventually(() => expect(session.store.job("a")?.value).toMatchObject({ state: "Running", summary: { command: "echo" } }));
    expect(session.store.workers.value.map((worker) => worker.name)).toEqual(["bench"]);
    expect(session.store.counts.value).toEqual({ queued: 0, running: 1, finished: 0, workers: 1, paused: false });
  });

  it("lists again when the hub could not resume the connection", async () => {
    hub.add({ id: "a", rev: 7, state: "Queued", queued: 5 });
    await eventually(() => expect(order()).toEqual(["a"]));
    hub.drop();
    hub.epoch = "another";
    hub.jobs.clear();
    hub.add({ id: "b", rev: 1, state: "Queued", queued: 6 });
    await eventually(() => expect(order()).toEqual(["b"]));
  });

  it("tells an empty queue from one with a worker or a job", async () => {
    await eventually(() => expect(session.store.empty).toBe(true));
    hub.add({ id: "a", rev: 1, state: "Queued", queued: 5 });
    await eventually(() => expect(session.store.empty).toBe(false));
  });

  it("adds the hub's default image to a definition that names none, and to no other", () => {
    expect(session.withImage({ command: "true" })).toEqual({ command: "true" });
    session.defaultImage.value = "python:3";
    expect(session.withImage({ command: "true" })).toEqual({ command: "true", image: "python:3" });
    expect(session.withImage({ image: "a" })).toEqual({ image: "a" });
    expect(session.withImage({ build: { context: "x" } })).toEqual({ build: { context: "x" } });
  });

  it("pages", async () => {
    for (let n = 0; n < 250; n++) hub.jobs.set(`j${n}`, { job: { id: `j${n}`, rev: 1, state: "Queued", queued: n + 1 }, definition: {}, lines: [] });
    hub.drop();
    hub.epoch = "another";
    await eventually(() => expect(order().length).toBe(200));
    await session.loadMore();
    expect(order().length).toBe(250);
    expect(session.store.more.value).toBe(false);
    expect(order()[249]).toBe("j0");
  });

  it("continues the log of the open job after a lost connection", async () => {
    hub.add({ id: "a", rev: 1, state: "Running", queued: 5 });
    hub.log("a", "one");
    hub.log("a", "two");
    session.open("a");
    await eventually(() => expect(text()).toEqual(["one", "two"]));
    hub.log("a", "three");
    await eventually(() => expect(text()).toEqual(["one", "two", "three"]));
    hub.drop();
    hub.log("a", "four");
    await eventually(() => expect(text()).toEqual(["one", "two", "three", "four"]));
    expect(peer()?.received.find((message) => message["type"] === "follow")?.["since"]).toBe(3);
    expect(session.opened.value?.log.hole()).toBeNull();
  });

  it("fetches missing lines", async () => {
    hub.add({ id: "a", rev: 1, state: "Running", queued: 5 });
    session.open("a");
    await eventually(() => expect(peer()?.follows.has("a")).toBe(true));
    for (let n = 0; n < 5; n++) hub.jobs.get("a")?.lines.push([n, 0, 0, `quiet ${n}`, "running"]);
    hub.log("a", "loud");
    await eventually(() => expect(text()).toEqual(["quiet 0", "quiet 1", "quiet 2", "quiet 3", "quiet 4", "loud"]));
    expect(session.opened.value?.log.hole()).toBeNull();
  });

  it("fetches the result when the job is finished", async () => {
    hub.add({ id: "a", rev: 1, state: "Running", queued: 5 }, { command: "make" });
    const open = session.open("a");
    await eventually(() => expect(open.definition.value).toEqual({ command: "make" }));
    hub.change("a", { state: "Finished", verdict: { ok: true, reason: "Success", outputs: 1 } }, { outputs: { "x.txt": { size: 3 } } });
    await eventually(() => expect(Object.keys(open.result.value?.outputs ?? {})).toEqual(["x.txt"]));
    expect(open.job.value?.state).toBe("Finished");
  });

  it("starts the log over when the job runs again", async () => {
    hub.add({ id: "a", rev: 1, state: "Running", queued: 5 });
    hub.log("a", "first run");
    session.open("a");
    await eventually(() => expect(text()).toEqual(["first run"]));
    const entry = hub.jobs.get("a");
    if (entry !== undefined) entry.lines = [];
    hub.change("a", { queued: 50 });
    hub.log("a", "second run");
    hub.log("a", "goes on");
    await eventually(() => expect(text()).toEqual(["second run", "goes on"]));
  });

  it("marks a job that the queue does not have, and follows it once it is submitted", async () => {
    const open = session.open("1".padStart(64, "0"));
    await eventually(() => expect(open.unknown.value).toBe(true));
    await session.submit({ command: "echo" });
    await eventually(() => expect(open.job.value?.state).toBe("Queued"));
    expect(open.unknown.value).toBe(false);
    hub.log(open.id, "hello");
    await eventually(() => expect(text()).toEqual(["hello"]));
  });

  it("forgets a job that was deleted", async () => {
    hub.add({ id: "a", rev: 1, state: "Running", queued: 5 });
    hub.log("a", "gone soon");
    const open = session.open("a");
    await eventually(() => expect(text()).toEqual(["gone soon"]));
    hub.change("a", { state: "Removed" });
    await eventually(() => expect(open.unknown.value).toBe(true));
    expect(open.job.value).toBeNull();
    expect(text()).toEqual([]);
  });

  it("records the start of phases", async () => {
    hub.add({ id: "a", rev: 1, state: "Running", phase: "pulling", queued: 5, started: 7 });
    const open = session.open("a");
    await eventually(() => expect(open.phases.value).toEqual([{ phase: "pulling", at: 7 }]));
    hub.change("a", { phase: "running" });
    await eventually(() => expect(open.phases.value.map(({ phase }) => phase)).toEqual(["pulling", "running"]));
  });

  it("keeps the progress of the open job's phase until the phase ends", async () => {
    hub.add({ id: "a", rev: 1, state: "Running", phase: "pulling", attempt: 1, queued: 5 });
    const open = session.open("a");
    await eventually(() => expect(open.job.value?.phase).toBe("pulling"));
    await eventually(() => expect(peer()?.follows.has("a")).toBe(true));
    const progress = { type: "progress", job: "a", attempt: 1, phase: "pulling", done: 3, total: 8, unit: "layers" } as const;
    hub.push(progress);
    await eventually(() => expect(progressOf(open)).toMatchObject(progress));
    hub.change("a", { phase: "running" });
    await eventually(() => expect(open.job.value?.phase).toBe("running"));
    expect(progressOf(open)).toBeNull();
  });

  it("submits and cancels", async () => {
    const answer = await session.submit({ command: "sleep 9" });
    expect(answer.answer).toBe("queued");
    expect(order()).toEqual([answer.job.id]);
    expect(await session.cancel(answer.job.id)).toBe(true);
    expect(session.store.job(answer.job.id)?.value.verdict?.reason).toBe("Cancelled");
  });

  it("fetches the summary of a job that was announced without one", async () => {
    hub.add({ id: "a", rev: 1, state: "Queued", queued: 5 }, { image: "alpine", command: ["echo", "hi"] });
    await eventually(() => expect(order()).toEqual(["a"]));
    session.wantSummary("a");
    await eventually(() => expect(session.store.job("a")?.value.summary).toMatchObject({ image: "alpine", command: "echo hi" }));
  });
});
