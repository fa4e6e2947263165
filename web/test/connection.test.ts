import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "./eventually";
import { WebSocket as NodeSocket } from "ws";
import { Backoff } from "../src/protocol/backoff";
import { decodeFrame, encodeFrame } from "../src/protocol/codec";
import { Connection, type Status } from "../src/protocol/connection";
import { RequestError } from "../src/protocol/errors";
import type { Push, Welcome } from "../src/protocol/messages";
import { FakeHub } from "./fake-hub.js";

describe("frames", () => {
  it("leave out undefined fields and values that are not messages", () => {
    const frame = encodeFrame([{ type: "ping", ref: 2 ** 40 }, { type: "hello", protocol: 1, agent: "t", follow: "queue" }]);
    expect(decodeFrame(frame)).toEqual([{ type: "ping", ref: 2 ** 40 }, { type: "hello", protocol: 1, agent: "t", follow: "queue" }]);
    expect(decodeFrame(encodeFrame([5, { no: "type" }, { type: "new" }] as never))).toEqual([{ type: "new" }]);
    expect(() => decodeFrame(encodeFrame({ type: "ping" } as never))).toThrow(/array/);
  });
});

describe("back-off", () => {
  it("doubles up to its maximum, with jitter", () => {
    const top = new Backoff({ first: 100, most: 1000, random: () => 1 });
    expect([top.next(), top.next(), top.next(), top.next(), top.next(), top.next()]).toEqual([100, 200, 400, 800, 1000, 1000]);
    top.succeeded();
    expect(top.next()).toBe(100);
    expect(new Backoff({ first: 100, random: () => 0 }).next()).toBe(30);
  });
});

describe("a connection", () => {
  let hub: FakeHub;
  let statuses: Status[];
  let welcomes: Welcome[];
  let pushes: Push[];
  let connection: Connection;

  beforeEach(async () => {
    hub = new FakeHub();
    await hub.listen();
    statuses = [];
    welcomes = [];
    pushes = [];
    connection = make(hub.url);
  });

  afterEach(async () => {
    connection.close();
    await hub.close();
  });

  function make(url: string, onLimited?: (why: string, until: number) => void, patience?: number): Connection {
    return new Connection({
      url,
      agent: "test",
      onStatus: (status) => statuses.push(status),
      onWelcome: (welcome) => welcomes.push(welcome),
      onPush: (more) => pushes.push(...more),
      ...(onLimited === undefined ? {} : { onLimited }),
      ...(patience === undefined ? {} : { patience }),
      socket: (to, subprotocol) => new NodeSocket(to, subprotocol) as unknown as WebSocket,
      backoff: new Backoff({ first: 10, most: 20 }),
    });
  }

  const welcomed = (n: number) => eventually(() => expect(welcomes.length).toBe(n));
  const peer = () => [...hub.peers][0];

  it("says hello for the whole queue, without a resume at first", async () => {
    connection.open();
    await welcomed(1);
    expect(peer()?.hello).toEqual({ type: "hello", protocol: 1, agent: "test", follow: "queue" });
    expect(statuses.map((status) => status.kind)).toEqual(["connecting", "open"]);
  });

  it("reconnects by itself and receives exactly the missed changes", async () => {
    connection.open();
    await welcomed(1);
    hub.add({ id: "a", rev: 1, state: "Queued" });
    await eventually(() => expect(pushes.filter((push) => push.type === "changed").length).toBe(1));
    hub.drop();
    hub.add({ id: "b", rev: 1, state: "Queued" });
    hub.add({ id: "c", rev: 1, state: "Queued" });
    await welcomed(2);
    expect(welcomes[1]?.recovered).toBe(true);
    expect(peer()?.hello["resume"]).toEqual({ epoch: "epoch-1", seq: 1 });
    await eventually(() =>
      expect(pushes.flatMap((push) => (push.type === "changed" ? [push.job.id] : []))).toEqual(["a", "b", "c"]),
    );
    hub.drop();
    await welcomed(3);
    expect(peer()?.hello["resume"]).toEqual({ epoch: "epoch-1", seq: 3 });
  });

  it("starts from the welcome when the hub could not resume it", async () => {
    connection.open();
    await welcomed(1);
    hub.drop();
    hub.epoch = "epoch-2";
    hub.seq = 70;
    await welcomed(2);
    expect(welcomes[1]?.recovered).toBe(false);
    hub.drop();
    await welcomed(3);
    expect(peer()?.hello["resume"]).toEqual({ epoch: "epoch-2", seq: 70 });
  });

  it("sends the requests of one turn in one frame and matches the answers", async () => {
    connection.open();
    await welcomed(1);
    let frames = 0;
    peer()?.socket.on("message", () => (frames += 1));
    const [workers, jobs] = await Promise.all([connection.request("workers", {}), connection.request("list", { limit: 5 })]);
    expect(workers.type).toBe("worker_list");
    expect(jobs.type).toBe("jobs");
    expect(frames).toBe(1);
  });

  it("hands over earlier pushes before an answer", async () => {
    connection.open();
    await welcomed(1);
    const answer = connection.request("submit", { definition: { command: "x" } }).then(() => pushes.length);
    expect(await answer).toBeGreaterThan(0);
  });

  it("rejects the request with the hub's error", async () => {
    connection.open();
    await welcomed(1);
    await expect(connection.request("get", { job: "nope" })).rejects.toMatchObject({ code: "not_found", message: "no such job" });
  });

  it("makes a request again when the hub takes it, and says why it waits", async () => {
    const limited: string[] = [];
    connection = make(hub.url, (why) => limited.push(why));
    connection.open();
    await welcomed(1);
    hub.refusal = { code: "overloaded", message: "this hub takes 5 submits a second; try again in 10 ms", retry: true, retry_after: 10 };
    const answer = connection.request("submit", { definition: { command: "x" } }, 30);
    await eventually(() => expect(limited.length).toBeGreaterThan(1));
    hub.refusal = null;
    expect((await answer).type).toBe("accepted");
    expect(limited[0]).toBe("this hub takes 5 submits a second");
  });

  it("ends a request with the hub's refusal when the hub takes nothing for too long", async () => {
    connection = make(hub.url, undefined, 30);
    connection.open();
    await welcomed(1);
    hub.refusal = { code: "overloaded", message: "this hub takes 5 submits a second", retry: true, retry_after: 10 };
    await expect(connection.request("submit", { definition: { command: "x" } })).rejects.toMatchObject({
      code: "overloaded",
      message: "this hub takes 5 submits a second",
    });
  });

  it("asks again at once, or no more, when a person says so", async () => {
    const limited: string[] = [];
    connection = make(hub.url, (why) => limited.push(why));
    connection.open();
    await welcomed(1);
    hub.refusal = { code: "overloaded", message: "this hub takes 5 submits a day", retry: true, retry_after: 3_600_000 };
    const first = connection.request("submit", { definition: { command: "x" } });
    await eventually(() => expect(limited.length).toBe(1));
    connection.askNow();
    await eventually(() => expect(limited.length).toBe(2));
    connection.stopAsking();
    await expect(first).rejects.toMatchObject({ code: "overloaded", retry: true });
    const second = connection.request("submit", { definition: { command: "x" } });
    await eventually(() => expect(limited.length).toBe(3));
    hub.refusal = null;
    connection.askNow();
    expect((await second).type).toBe("accepted");
  });

  it("rejects requests that it can't send or that were cut off", async () => {
    await expect(connection.request("workers", {})).rejects.toMatchObject({ code: "connection_failed", retry: true });
    connection.open();
    await welcomed(1);
    hub.answer = () => undefined;
    const cut = connection.request("workers", {});
    const late = connection.request("workers", {}, 10);
    await expect(late).rejects.toMatchObject({ code: "timed_out" });
    hub.drop();
    await expect(cut).rejects.toBeInstanceOf(RequestError);
  });

  it("answers a ping, and drops a silent connection", async () => {
    hub.heartbeat = 20;
    connection.open();
    await welcomed(1);
    const one = peer();
    if (one !== undefined) hub.send(one, { type: "ping", ref: 7 });
    await eventually(() => expect(one?.received).toContainEqual({ type: "pong", ref: 7 }));
    const answer = hub.answer.bind(hub);
    hub.answer = (who, message) => {
      if (who !== one) answer(who, message);
    };
    await welcomed(2);
  });

  it("is not dialled again once the queue's owner has deleted the queue", async () => {
    connection.open();
    await welcomed(1);
    for (const peer of hub.peers) peer.socket.close(4012);
    await eventually(() => expect(statuses.at(-1)).toMatchObject({ kind: "closed" }));
    expect(statuses.at(-1)).toMatchObject({ why: expect.stringContaining("has deleted this queue") });
  });

  it("gives up with a sentence when reconnecting can't help", async () => {
    connection = make(hub.url.replace("/q/test/", "/q/a%23b/"));
    connection.open();
    await eventually(() => expect(statuses.at(-1)).toMatchObject({ kind: "closed" }));
    expect(statuses.at(-1)).toMatchObject({ why: expect.stringContaining("not a queue name") });
  });

  it("keeps trying while there is no hub", async () => {
    connection = make("ws://127.0.0.1:9/q/test/client");
    connection.open();
    await eventually(() => expect(statuses).toContainEqual({ kind: "waiting", failures: 3, retryAt: expect.any(Number) }));
  });
});
