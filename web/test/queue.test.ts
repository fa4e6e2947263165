import { describe, expect, it } from "vitest";
import type { JobState, Push } from "../src/protocol/messages";
import { FrameBatcher } from "../src/state/frame-batcher";
import { KEPT, QueueStore } from "../src/state/queue";

const job = (id: string, rev: number, more: Partial<JobState> = {}): JobState => ({ id, rev, state: "Queued", queued: 100, ...more });
const changed = (state: JobState): Push => ({ type: "changed", seq: 0, job: state });

describe("the store of a queue", () => {
  it("takes the newest rev and ignores older ones", () => {
    const store = new QueueStore();
    store.apply([changed(job("a", 3, { state: "Running" })), changed(job("a", 2)), changed(job("a", 3, { state: "Queued" }))]);
    expect(store.job("a")?.value).toMatchObject({ rev: 3, state: "Running" });
  });

  it("keeps the summary when a change has none", () => {
    const store = new QueueStore();
    store.apply([changed(job("a", 1, { summary: { command: "echo" } })), changed(job("a", 2, { state: "Running" }))]);
    expect(store.job("a")?.value.summary).toEqual({ command: "echo" });
  });

  it("fills in the fields that a message leaves out", () => {
    const store = new QueueStore();
    store.apply([changed({ id: "a", rev: 1, state: "Queued" })]);
    expect(store.job("a")?.value).toMatchObject({ attempt: 0, phase: null, worker: "", verdict: null, started: 0 });
  });

  it("lists newest first, and adds older pages below", () => {
    const store = new QueueStore();
    store.replace([job("b", 1, { queued: 20 }), job("a", 1, { queued: 10 })], 10);
    store.apply([changed(job("c", 1, { queued: 30 })), changed(job("d", 1, { queued: 30 }))]);
    expect(store.order.value).toEqual(["d", "c", "b", "a"]);
    expect(store.addPage([job("z", 1, { queued: 5 }), job("a", 1, { queued: 10 })], null)).toBe(1);
    expect(store.order.value).toEqual(["d", "c", "b", "a", "z"]);
    expect(store.more.value).toBe(false);
  });

  it("ignores a change of a job that is older than the listed pages", () => {
    const store = new QueueStore();
    store.replace([job("b", 1, { queued: 20 })], 20);
    store.apply([changed(job("old", 4, { queued: 3 }))]);
    expect(store.order.value).toEqual(["b"]);
    expect(store.job("old")).toBeUndefined();
  });

  it("keeps the open job up to date although it is not listed", () => {
    const store = new QueueStore();
    store.replace([job("b", 1, { queued: 20 })], 20);
    store.pinned = "old";
    store.apply([changed(job("old", 4, { queued: 3, state: "Running" }))]);
    expect(store.order.value).toEqual(["b"]);
    expect(store.job("old")?.value.state).toBe("Running");
  });

  it("moves a job that runs again to the top, and drops a removed job", () => {
    const store = new QueueStore();
    store.replace([job("b", 1, { queued: 20 }), job("a", 1, { queued: 10 })], null);
    store.apply([changed(job("a", 2, { queued: 40 }))]);
    expect(store.order.value).toEqual(["a", "b"]);
    store.apply([changed(job("a", 3, { state: "Removed" }))]);
    expect(store.order.value).toEqual(["b"]);
    store.apply([changed(job("c", 1, { queued: 50 })), changed(job("c", 2, { queued: 50, state: "Removed" }))]);
    expect(store.order.value).toEqual(["b"]);
  });

  it("takes a later run for newer, though its revisions begin again after a removal", () => {
    const store = new QueueStore();
    store.apply([changed(job("a", 7))]);
    store.apply([changed(job("a", 1, { queued: 101, state: "Running" }))]);
    expect(store.job("a")?.value).toMatchObject({ rev: 1, queued: 101, state: "Running" });
    store.apply([changed(job("a", 8))]);
    expect(store.job("a")?.value).toMatchObject({ rev: 1, queued: 101 });
  });

  it("replaces everything, even by a smaller rev, and keeps the signals of remaining jobs", () => {
    const store = new QueueStore();
    store.replace([job("a", 9)], null);
    const before = store.job("a");
    store.replace([job("a", 2, { state: "Running" }), job("b", 1)], null);
    expect(store.job("a")).toBe(before);
    expect(before?.value).toMatchObject({ rev: 2, state: "Running" });
    store.replace([], null);
    expect(store.order.value).toEqual([]);
  });

  it("limits the number of jobs, and shows that", () => {
    const store = new QueueStore();
    store.apply(Array.from({ length: KEPT + 500 }, (_, n) => changed(job(`j${n}`, 1, { queued: n + 1 }))));
    expect(store.order.value.length).toBe(KEPT);
    expect(store.order.value[0]).toBe(`j${KEPT + 499}`);
    expect(store.job("j0")).toBeUndefined();
    expect(store.full.value).toBe(true);
    expect(store.next.value).toBeNull();
  });

  it("follows workers by rev until they are gone", () => {
    const store = new QueueStore();
    const worker = (rev: number, state: "ready" | "away" | "gone"): Push => ({ type: "worker_changed", seq: 0, worker: { id: "w", rev, state, name: "bench" } });
    store.apply([worker(2, "away"), worker(1, "ready")]);
    expect(store.workers.value.map((w) => w.state)).toEqual(["away"]);
    expect(store.workerName("w")).toBe("bench");
    store.apply([worker(3, "gone")]);
    expect(store.workers.value).toEqual([]);
    expect(store.workerName("w")).toBe("w");
  });
});

describe("the frame batcher", () => {
  it("hands over once per frame, in order, and at once on a flush", () => {
    const frames: (() => void)[] = [];
    const seen: number[][] = [];
    const queue = new FrameBatcher<number>((items) => seen.push(items), (work) => frames.push(work));
    queue.push([1, 2]);
    queue.push([3]);
    expect(frames.length).toBe(1);
    expect(seen).toEqual([]);
    frames.shift()?.();
    expect(seen).toEqual([[1, 2, 3]]);
    queue.push([4]);
    queue.flush();
    frames.shift()?.();
    expect(seen).toEqual([[1, 2, 3], [4]]);
  });
});
