import { describe, expect, it } from "vitest";
import { rawParams } from "../src/job/address";
import { newQueueName, parseQueue, parseRoute } from "../src/route";

const at = (path: string, hash = "") => parseRoute({ origin: "https://hub.example", pathname: path, hash });
const here = (name: string) => ({ hub: "https://hub.example", name });
const ID = "ab".repeat(32);

describe("the route of a URL", () => {
  it("names a queue by path or by fragment", () => {
    expect(at("/q/lab-1")).toEqual({ page: "queue", queue: here("lab-1") });
    expect(at("/q/lab-1/")).toEqual({ page: "queue", queue: here("lab-1") });
    expect(at("/", "#?queue=lab-1")).toEqual({ page: "queue", queue: here("lab-1") });
  });

  it("names a queue on another hub", () => {
    const queue = { hub: "https://other.example", name: "lab" };
    expect(at("/", "#?queue=https%3A%2F%2Fother.example%2Flab")).toEqual({ page: "queue", queue });
    expect(parseQueue("https://other.example/q/lab", "https://hub.example")).toEqual(queue);
  });

  it("finds the hub on the reader's own machine", () => {
    expect(at("/", "#?queue=local")).toEqual({ page: "queue", queue: { hub: "http://localhost:8000", name: "local" } });
    const served = parseRoute({ origin: "http://127.0.0.1:9000", pathname: "/", hash: "#?queue=local" });
    expect(served).toEqual({ page: "queue", queue: { hub: "http://127.0.0.1:9000", name: "local" } });
  });

  it("names a job and its queue", () => {
    expect(at(`/j/${ID}`, "#?queue=lab")).toEqual({ page: "result", queue: here("lab"), job: ID });
    expect(at(`/j/${ID}`)).toEqual({ page: "lost-job", job: ID, path: `/j/${ID}` });
    const keyed = `/j/${ID}~${"0f".repeat(16)}`;
    expect(at(keyed)).toEqual({ page: "lost-job", job: ID, path: keyed });
    expect(at(keyed, "#?queue=lab")).toEqual({ page: "result", queue: here("lab"), job: ID });
    expect(at(`/j/${ID}~0f`)).toMatchObject({ page: "start", problem: expect.stringMatching(/is not a job id/) });
  });

  it("can contain a whole job", () => {
    const route = at("/", "#?job=e30=&queue=lab");
    expect(route).toMatchObject({ page: "job", queue: here("lab") });
    expect(at("/", "#?job=e30=")).toMatchObject({ page: "no-queue", problem: null });
    expect(at("/", "#?job=e30=&queue=a%20b")).toMatchObject({ page: "no-queue", problem: expect.stringMatching(/is not a queue/) });
  });

  it("lets the parent page choose the queue, unless a parameter forbids it", () => {
    expect(at("/", "#?job=e30=&queue=lab&queueOverride=other")).toMatchObject({ queue: here("other") });
    expect(at("/", "#?job=e30=&queue=lab&queueOverride=other&ignoreQueueOverride=true")).toMatchObject({ queue: here("lab") });
  });

  it("shows one job in a frame of another page, whatever the URL", () => {
    const inside = (hash: string) => parseRoute({ origin: "https://hub.example", pathname: "/", hash }, true);
    expect(inside("#?queue=lab")).toMatchObject({ page: "job", queue: here("lab") });
    expect(inside("")).toMatchObject({ page: "no-queue" });
  });

  it("without a queue is the start page", () => {
    expect(at("/")).toEqual({ page: "start", problem: null });
    expect(at("/", "#?queue=")).toEqual({ page: "start", problem: null });
  });

  it("explains a bad name", () => {
    for (const [path, hash] of [["/q/a%20b", ""], ["/", "#?queue=a%2Fb"], ["/j/zz", "#?queue=lab"], [`/q/${"x".repeat(129)}`, ""]] as const) {
      const route = at(path, hash);
      expect(route.page).toBe("start");
      expect(route.page === "start" && route.problem).toMatch(/is not a/);
    }
  });

  it("reads parameters after the first ? of the fragment only", () => {
    expect(Object.fromEntries(rawParams("#a?queue=x&b=1=2&%63=%e4&flag"))).toEqual({ queue: "x", b: "1=2", c: "%e4", flag: "" });
    expect(rawParams("#queue=x").size).toBe(0);
  });

  it("generates valid names that differ", () => {
    const names = new Set(Array.from({ length: 100 }, newQueueName));
    expect(names.size).toBe(100);
    for (const name of names) expect(name).toMatch(/^[a-z2-7]{32}$/);
  });
});
