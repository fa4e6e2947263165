import { beforeEach, describe, expect, it, vi } from "vitest";

const stored = new Map<string, string>();

/** The module, loaded as a page loads it. */
async function opened() {
  vi.resetModules();
  return import("../src/state/my-queues");
}

describe("my queues", () => {
  beforeEach(() => {
    stored.clear();
    vi.stubGlobal("localStorage", {
      getItem: (key: string) => stored.get(key) ?? null,
      setItem: (key: string, value: string) => void stored.set(key, value),
    });
  });

  it("are kept by the browser, the last opened first, each once", async () => {
    const first = await opened();
    for (const name of ["a", "b", "a"]) first.rememberQueue(`https://hub.example/q/${name}`);
    expect((await opened()).myQueues.value).toEqual(["https://hub.example/q/a", "https://hub.example/q/b"]);
  });

  it("are at most so many, and a forgotten one is gone", async () => {
    const { rememberQueue, forgetQueue, myQueues, MOST_QUEUES } = await opened();
    for (let n = 0; n <= MOST_QUEUES; n++) rememberQueue(`https://hub.example/q/n${n}`);
    expect(myQueues.value).toHaveLength(MOST_QUEUES);
    expect(myQueues.value).not.toContain("https://hub.example/q/n0");
    forgetQueue("https://hub.example/q/n5");
    expect((await opened()).myQueues.value).not.toContain("https://hub.example/q/n5");
  });

  it("come back where they were when forgetting one is undone, behind those opened meanwhile", async () => {
    const { rememberQueue, forgetQueue, myQueues } = await opened();
    const url = (name: string) => `https://hub.example/q/${name}`;
    for (const name of ["a", "b", "c"]) rememberQueue(url(name));
    const undo = forgetQueue(url("b"));
    rememberQueue(url("d"));
    undo();
    expect(myQueues.value).toEqual(["d", "c", "b", "a"].map(url));
    undo();
    expect(myQueues.value).toEqual(["d", "c", "b", "a"].map(url));
  });

  it("leave out what is no address of a queue", async () => {
    for (const text of ["no json", "{}", '[1, null, "javascript:alert(1)", "https://hub.example/q/a"]', JSON.stringify([`https://x/${"y".repeat(2000)}`])]) {
      stored.set("asman.queues", text);
      const { myQueues } = await opened();
      expect(myQueues.value).toEqual(text.includes("/q/a") ? ["https://hub.example/q/a"] : []);
    }
  });

  it("last as long as the page where nothing can be stored", async () => {
    vi.stubGlobal("localStorage", undefined);
    const { rememberQueue, myQueues } = await opened();
    rememberQueue("https://hub.example/q/a");
    expect(myQueues.value).toEqual(["https://hub.example/q/a"]);
  });
});
