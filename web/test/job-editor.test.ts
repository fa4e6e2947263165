import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "./eventually";
import { WebSocket as NodeSocket } from "ws";
import { rawParams, readParams, withJob } from "../src/job/address";
import { jobId } from "../src/job/identity";
import { Backoff } from "../src/protocol/backoff";
import { JobEditor } from "../src/state/job-editor";
import { Session } from "../src/state/session";
import { FakeHub } from "./fake-hub.js";

describe("the job editor", () => {
  let hub: FakeHub;
  let session: Session;
  let editor: JobEditor;
  let written: [string, boolean][];

  beforeEach(async () => {
    hub = new FakeHub();
    hub.idOf = jobId;
    await hub.listen();
    session = new Session({
      url: hub.url,
      follow: "jobs",
      socket: (url, subprotocol) => new NodeSocket(url, subprotocol) as unknown as WebSocket,
      backoff: new Backoff({ first: 5, most: 10 }),
      schedule: (work) => void setTimeout(work, 0),
    });
    session.start();
    await eventually(() => expect(session.online.value).toBe(true));
    written = [];
    editor = new JobEditor({
      session,
      settle: 1,
      write: (params, push) => written.push([JSON.stringify(readParams(params).job), push]),
    });
  });

  afterEach(async () => {
    editor.stop();
    session.stop();
    await hub.close();
  });

  const take = (job: object, more = "") => {
    editor.take(withJob(rawParams(`#?${more}`), job, {}));
    editor.start();
  };
  const submits = () => [...hub.peers].flatMap((peer) => peer.received.filter((message) => message["type"] === "submit"));
  const setCommand = (command: string) => editor.edit("command", (draft) => ({ ...draft, job: { ...draft.job, command } }));

  it("opens the job in the URL, and runs it", async () => {
    take({ image: "a", command: "b" });
    await eventually(() => expect(editor.open.value?.unknown.value).toBe(true));
    editor.request("run");
    await eventually(() => expect(editor.open.value?.job.value?.state).toBe("Queued"));
    expect(editor.answer.value?.answer).toBe("queued");
    expect(submits()[0]).toMatchObject({ definition: { image: "a", command: "b", env: {} }, reuse: "success" });
  });

  it("knows a job that its queue does not have, and one of the URL that has not run from it", async () => {
    editor.takeJob("0f".repeat(32), new Map());
    editor.start();
    await eventually(() => expect(editor.missing).toBe(true));
    editor.take(withJob(rawParams("#?"), { command: "b" }, {}));
    await eventually(() => expect(editor.open.value?.unknown.value).toBe(true));
    expect(editor.missing).toBe(false);
  });

  it("becomes another job with each edit, and never shows the state of the previous job", async () => {
    take({ image: "a", command: "b" });
    editor.request("run");
    await eventually(() => expect(editor.open.value?.job.value?.state).toBe("Queued"));
    const before = editor.id.value;
    setCommand("c");
    expect(editor.id.value).not.toBe(before);
    expect(editor.open.value).toBeNull();
    await eventually(() => expect(editor.open.value?.unknown.value).toBe(true));
    editor.undo();
    expect(editor.id.value).toBe(before);
    await eventually(() => expect(editor.open.value?.job.value?.state).toBe("Queued"));
  });

  it("makes one step of the text typed into a field, and undoes and redoes steps", () => {
    take({ command: "a" });
    for (const text of ["ab", "abc", "abcd"]) setCommand(text);
    editor.edit("image", (draft) => ({ ...draft, job: { ...draft.job, image: "x" } }));
    expect(written.map(([, push]) => push)).toEqual([true, false, false, true]);
    editor.undo();
    expect(editor.params.value.job).toEqual({ command: "abcd" });
    editor.undo();
    expect(editor.params.value.job).toEqual({ command: "a" });
    editor.redo();
    editor.redo();
    expect(editor.params.value.job).toEqual({ command: "abcd", image: "x" });
    expect(editor.future.value).toEqual([]);
  });

  it("removes empty fields", () => {
    take({ command: "a", image: "b" });
    setCommand("");
    expect(editor.params.value.job).toEqual({ image: "b" });
  });

  it("keeps a requested action while the hub is away, until it is withdrawn", async () => {
    take({ command: "a" });
    hub.refusing = true;
    hub.drop();
    await eventually(() => expect(session.online.value).toBe(false));
    editor.request("run");
    expect(editor.pending.value).toBe("run");
    editor.withdraw();
    hub.refusing = false;
    await eventually(() => expect(session.online.value).toBe(true));
    expect(submits()).toEqual([]);
    hub.refusing = true;
    hub.drop();
    await eventually(() => expect(session.online.value).toBe(false));
    editor.request("run");
    hub.refusing = false;
    await eventually(() => expect(submits()).toHaveLength(1));
    expect(editor.pending.value).toBeNull();
  });

  it("delays a run until the inputs are uploaded", async () => {
    take({ command: "a" });
    editor.uploading.value = 1;
    editor.request("run");
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(editor.pending.value).toBe("run");
    expect(submits()).toEqual([]);
    editor.uploading.value = 0;
    await eventually(() => expect(submits()).toHaveLength(1));
  });

  it("autostarts each job once", async () => {
    take({ command: "a" }, "autostart=true");
    await eventually(() => expect(submits()).toHaveLength(1));
    setCommand("b");
    await eventually(() => expect(submits()).toHaveLength(2));
    editor.piped.value = { x: { value: "1", type: "utf8" } };
    await eventually(() => expect(submits()).toHaveLength(3));
    expect(submits()[2]?.["definition"]).toMatchObject({ command: "b", inputs: { x: { value: "1" } } });
  });

  it("runs no job without the time limit that its link asks for", async () => {
    take({ command: "a" }, "maxJobDuration=0s");
    editor.request("run");
    await eventually(() => expect(editor.problem.value).toMatch(/not started, as maxJobDuration in the link can't be used: “0s” is no/));
    expect(submits()).toEqual([]);
    editor.set("maxJobDuration", "20m");
    editor.request("run");
    await eventually(() => expect(submits()).toHaveLength(1));
    expect(submits()[0]).toMatchObject({ time_limit: 1_200_000 });
  });

  it("starts nothing by itself in a frame before the first values can be there", async () => {
    editor.stop();
    editor = new JobEditor({ session, settle: 1, write: () => undefined, embedded: true });
    take({ command: "a" }, "autostart=true");
    await eventually(() => expect(editor.open.value?.unknown.value).toBe(true));
    expect(editor.pending.value).toBeNull();
    editor.piped.value = { x: { value: "1", type: "utf8" } };
    await eventually(() => expect(editor.open.value?.id).toBe(editor.id.value));
    editor.awaitsValues.value = false;
    await eventually(() => expect(submits()).toHaveLength(1));
    expect(submits()[0]?.["definition"]).toMatchObject({ inputs: { x: { value: "1" } } });
  });

  it("does not autostart a job that has a result", async () => {
    const id = jobId({ command: "a" });
    hub.add({ id, rev: 1, state: "Finished", queued: 5, verdict: { ok: true, reason: "Success" } });
    take({ command: "a" }, "autostart=true");
    await eventually(() => expect(editor.open.value?.job.value?.state).toBe("Finished"));
    expect(submits()).toEqual([]);
  });

  it("shows the problems of the current definition", async () => {
    hub.problems = [{ field: "definition.image", message: "no such image" }];
    take({ command: "a" });
    await eventually(() => expect(editor.validated.value?.problems).toEqual(hub.problems));
    hub.problems = [];
    setCommand("b");
    expect(editor.validated.value).toBeNull();
    await eventually(() => expect(editor.validated.value?.ok).toBe(true));
  });

  it("shows a job by its id, and makes a new job of it with the first edit", async () => {
    const definition = { image: "a", configFiles: { f: { type: "utf8", value: "text" } } };
    hub.add({ id: "9".repeat(64), rev: 1, state: "Running", queued: 5 }, definition);
    editor.takeJob("9".repeat(64), new Map([["queue", "q"]]));
    editor.start();
    await eventually(() => expect(editor.params.value.job).toEqual({ image: "a" }));
    expect(editor.params.value.files).toEqual({ f: "text" });
    expect(editor.id.value).toBe("9".repeat(64));
    expect(written).toEqual([]);
    setCommand("b");
    expect(editor.fixed.value).toBeNull();
    expect(editor.definition.value).toEqual({ image: "a", command: "b", env: {}, configFiles: definition.configFiles });
    expect(written).toHaveLength(1);
  });

  it("submits with the namespace and the time limit in the URL", async () => {
    const control = btoa(encodeURIComponent(JSON.stringify({ namespace: "ns", maxDuration: "2m" })));
    take({ command: "a" }, `control=${control}&maxJobDuration=30s`);
    editor.request("run");
    await eventually(() => expect(submits()[0]).toMatchObject({ namespace: "ns", time_limit: 30_000 }));
  });

  it("adds the hub's default image to a job that names none", async () => {
    hub.defaultImage = "busybox:1";
    hub.drop();
    await eventually(() => expect(session.defaultImage.value).toBe("busybox:1"));
    await eventually(() => expect(session.online.value).toBe(true));
    take({ command: "a" });
    editor.request("run");
    await eventually(() => expect(submits()[0]?.["definition"]).toMatchObject({ image: "busybox:1" }));
    expect(editor.params.value.job).toEqual({ command: "a", image: "busybox:1" });
  });

  it("shows the reason of a refusal", async () => {
    take({ command: "a" });
    hub.refusal = { code: "quota", message: "the queue is full" };
    editor.request("run");
    await eventually(() => expect(editor.problem.value).toBe("The queue is full"));
    expect(editor.busy.value).toBeNull();
  });
});
