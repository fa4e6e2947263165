import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { rawParams } from "../src/job/address";
import { basePathOf, newQueueName, parseQueue, parseRoute } from "../src/route";

const at = (path: string, hash = "") => parseRoute({ origin: "https://hub.example", pathname: path, hash });
const here = (name: string) => ({ hub: "https://hub.example", name });
/** Texts that name a queue, some with white space around the name; tests/unit/shared/test_address.py has them, too. */
const named = JSON.parse(readFileSync(new URL("../../tests/data/queue_names.json", import.meta.url), "utf8")) as {
  text: string;
  queue: string | null;
}[];
const ROUND = /^[ \t\n\v\f\r]|[ \t\n\v\f\r]$/;
const ID = "ab".repeat(32);

describe("the route of a URL", () => {
  it("names a queue by path or by fragment", () => {
    expect(at("/q/lab-1")).toEqual({ page: "queue", queue: here("lab-1") });
    expect(at("/q/lab-1/")).toEqual({ page: "queue", queue: here("lab-1") });
    expect(at("/", "#?queue=lab-1")).toEqual({ page: "queue", queue: here("lab-1") });
  });

  it("takes an older name of a queue for its alias, wherever the name stands", () => {
    const aliases = named.filter(({ text, queue }) => queue?.startsWith("old-") && !ROUND.test(text));
    expect(aliases.length).toBeGreaterThan(5);
    for (const { text: name, queue } of aliases) {
      const alias = queue ?? "";
      expect(at(`/q/${encodeURIComponent(name)}`)).toEqual({ page: "queue", queue: here(alias) });
      expect(at("/", `#?queue=${encodeURIComponent(name)}`)).toEqual({ page: "queue", queue: here(alias) });
      const other = encodeURIComponent(`https://other.example/${encodeURIComponent(name)}`);
      expect(at("/", `#?queue=${other}`)).toEqual({ page: "queue", queue: { hub: "https://other.example", name: alias } });
    }
    for (const name of ["-x", "a%2Fb", "a%23b", "x".repeat(129), "%F0%9F%98%80"]) {
      expect(at(`/q/${name}`)).toMatchObject({ page: "start", problem: expect.stringContaining("is not a queue name") });
    }
  });

  it("reads a name without white space of ASCII around it, and with all other blanks", () => {
    for (const { text, queue } of named) {
      const shown = JSON.stringify(text);
      expect(parseQueue(text, "https://hub.example"), shown).toEqual(queue === null ? null : here(queue));
      const told = at("/", `#?queue=${encodeURIComponent(text)}`);
      expect(told, shown).toMatchObject(queue === null ? { page: "start" } : { page: "queue", queue: here(queue) });
      // A path holds the name itself, as for the hub.
      const exact = queue !== null && !ROUND.test(text);
      const path = at(`/q/${encodeURIComponent(text)}`);
      expect(path, shown).toMatchObject(exact ? { page: "queue", queue: here(queue) } : { page: "start" });
    }
  });

  it("says that a link with a damaged key is damaged, and does not show the key", () => {
    const damaged = `~${"a".repeat(51)}X`;
    const elsewhere = encodeURIComponent(`https://other.example/q/${damaged}`);
    for (const found of [at(`/q/${damaged}`), at("/", `#?queue=${damaged}`), at("/", `#?queue=${elsewhere}`), at("/q/~short")]) {
      expect(found).toMatchObject({ page: "start", problem: expect.stringMatching(/^This link is damaged/) });
      expect(JSON.stringify(found)).not.toContain(damaged);
    }
  });

  it("names parameters that name nothing, instead of showing the start page as if there were none", () => {
    expect(at("/", "#?queu=lab")).toMatchObject({ page: "start", problem: expect.stringContaining("“queu”") });
    expect(at("/", "#?a=1&b=2")).toMatchObject({ page: "start", problem: expect.stringContaining("“a”, “b”") });
    for (const none of ["", "#", "#?", "#?queue=", "#jobs"]) expect(at("/", none)).toEqual({ page: "start", problem: null });
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
    expect(at(`/j/${ID}`)).toEqual({ page: "linked-job", job: ID, keyed: false, path: `/j/${ID}` });
    const keyed = `/j/${ID}~${"0f".repeat(16)}`;
    expect(at(keyed)).toEqual({ page: "linked-job", job: ID, keyed: true, path: keyed });
    expect(at(keyed, "#?line=7")).toEqual({ page: "linked-job", job: ID, keyed: true, path: keyed, line: 7 });
    expect(at(keyed, "#?queue=lab")).toEqual({ page: "result", queue: here("lab"), job: ID });
    expect(at(`/j/${ID}~0f`)).toMatchObject({ page: "start", problem: expect.stringMatching(/is not a job id/) });
  });

  it("can contain a whole job", () => {
    const route = at("/", "#?job=e30=&queue=lab");
    expect(route).toMatchObject({ page: "job", queue: here("lab") });
    expect(at("/", "#?job=e30=")).toMatchObject({ page: "no-queue", problem: null });
    expect(at("/", "#?job=e30=&queue=a%2Fb")).toMatchObject({ page: "no-queue", problem: expect.stringMatching(/is not a queue/) });
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

  it("lies below the path of a proxy, which is part of the hub's URL", () => {
    const below = (pathname: string, hash = "") => parseRoute({ origin: "https://hub.example", pathname, hash }, false, "/team/asman");
    const queue = { hub: "https://hub.example/team/asman", name: "lab" };
    expect(below("/team/asman/q/lab")).toEqual({ page: "queue", queue });
    expect(below("/team/asman/", "#?queue=lab")).toEqual({ page: "queue", queue });
    expect(below(`/team/asman/j/${ID}`)).toEqual({ page: "linked-job", job: ID, keyed: false, path: `/team/asman/j/${ID}` });
    expect(below("/team/asman/")).toEqual({ page: "start", problem: null });
    for (const text of ["https://hub.example/team/asman/q/lab", "https://hub.example/team/asman/lab"]) {
      expect(parseQueue(text, queue.hub)).toEqual(queue);
    }
    expect(parseQueue("https://hub.example/team/asman/q/lab", "https://other.example")).toEqual(queue);
    expect(parseQueue("https://hub.example/team/asman/x/lab", queue.hub)).toBeNull();
  });

  it("knows the path of a proxy by the address of its scripts", () => {
    expect(basePathOf("https://hub.example/assets/index-1.js")).toBe("");
    expect(basePathOf("https://hub.example/team/asman/assets/index-1.js")).toBe("/team/asman");
    expect(basePathOf("http://localhost:5173/src/route.ts")).toBe("");
  });

  it("explains a bad name", () => {
    for (const [path, hash] of [["/q/a%23b", ""], ["/", "#?queue=a%2Fb"], ["/j/zz", "#?queue=lab"], [`/q/${"x".repeat(129)}`, ""]] as const) {
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
