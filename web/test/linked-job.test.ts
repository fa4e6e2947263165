/** A job is read by its link alone: what it shows, when it is asked for again, and that nothing of it is changed. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LinkedJob, LOOKS, MOST_SIZED, MOST_SLICES } from "../src/state/linked-job";

const HUB = "https://hub.example";
const ID = "ab".repeat(32);
const PATH = `/j/${ID}~${"0f".repeat(16)}`;
const SHA = "cd".repeat(32);
const EMPTY = { data: [], sliceStart: 0, nextCursor: 0, isFinal: true };

const finished = (result: object, more: object = {}) => ({
  data: {
    queuedTime: 1000,
    time: 9000,
    state: "Finished",
    finished: { type: "Finished", time: 9000, reason: "Success", worker: "w", result: { isTimedOut: false, ...result }, ...more },
  },
});

/** Answers by the last part of the address, as the hub gives them; a missing one is 404. */
class Door {
  answers: Record<string, unknown> = { "definition.json": { data: { image: "alpine", command: "echo hi" } } };
  asked: string[] = [];
  methods = new Set<string>();
  away = false;

  get fetch(): typeof fetch {
    return async (input, init) => {
      const url = String(input);
      const name = url.replace(`${PATH}/`, "");
      this.asked.push(name);
      this.methods.add(init?.method ?? "GET");
      await Promise.resolve();
      if (this.away) throw new TypeError("Failed to fetch");
      const answer = this.answers[name] ?? this.answers[name.replace(/\d+$/, "")];
      if (init?.method === "HEAD") return new Response(null, { headers: { "Content-Length": String(answer) } });
      if (answer === undefined) return new Response("{}", { status: 404 });
      if (answer instanceof Response) return answer.clone();
      return Response.json(typeof answer === "function" ? (answer as (name: string) => unknown)(name) : answer);
    };
  }

  live(): void {
    Object.assign(this.answers, { "namespaces.json": { data: ["_"] }, "result.json": { data: null } });
    Object.assign(this.answers, { "build-logs.json?since=": { ...EMPTY, isFinal: false }, "run-logs.json?since=": { ...EMPTY, isFinal: false } });
  }

  ends(answer: unknown): void {
    Object.assign(this.answers, { "namespaces.json": { data: [] }, "result.json": answer });
    Object.assign(this.answers, { "build-logs.json?since=": EMPTY, "run-logs.json?since=": EMPTY });
  }

  looks(): number {
    return this.asked.filter((name) => name === "namespaces.json").length;
  }
}

let door: Door;
const started: LinkedJob[] = [];

function linked(options: { keyed?: boolean; hub?: string } = {}): LinkedJob {
  const made = new LinkedJob({ job: ID, keyed: true, path: PATH, hub: HUB, fetch: door.fetch, random: () => 1, ...options });
  started.push(made);
  made.start();
  return made;
}

/** Lets all answers arrive; no waiting time of the page passes. */
const settled = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => {
  vi.useFakeTimers();
  door = new Door();
});

afterEach(() => {
  for (const each of started.splice(0)) each.stop();
  vi.useRealTimers();
});

describe("a job with a result", () => {
  it("has its state, exit code, times, log and outputs, and is not asked for again", async () => {
    const outputs = {
      "a.PNG": { type: "url", value: `${HUB}/f/${SHA}` },
      "b.txt": { value: "äb" },
      "c.bin": { type: "base64", value: btoa("four") },
      "d.json": { type: "json", value: { a: 1 } },
      "e.txt": { type: "url", value: "http://10.0.0.7/f/x" },
    };
    door.ends(finished({ StatusCode: 3, duration: 5, outputs }));
    door.answers["run-logs.json?since=0"] = { data: [["one\n", 1], ["two\n", 2, true]], sliceStart: 0, nextCursor: 2, isFinal: true };
    door.answers[`${HUB}/f/${SHA}`] = 7;
    const page = linked();
    await settled();
    expect(page.standing.value).toBe("ended");
    expect(page.job.value).toMatchObject({ state: "Finished", queued: 1000, finished: 9000, worker: "w" });
    expect(page.job.value?.verdict).toMatchObject({ ok: false, reason: "Failed", exit_code: 3, duration: 5, outputs: 5 });
    expect(page.lines.log.length).toBe(2);
    expect(page.result.value?.outputs).toEqual({
      "a.PNG": { ref: { type: "key", value: SHA }, size: 7, sha256: SHA, media_type: "image/png" },
      "b.txt": { ref: { value: "äb" }, size: 3, sha256: "", media_type: "text/plain" },
      "c.bin": { ref: outputs["c.bin"], size: 4, sha256: "" },
      "d.json": { ref: outputs["d.json"], size: 7, sha256: "", media_type: "application/json" },
      "e.txt": { ref: outputs["e.txt"], size: 0, sha256: "", media_type: "text/plain" },
    });
    const asked = door.asked.length;
    page.see(false);
    page.see(true);
    await page.look();
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(door.asked.length).toBe(asked);
    expect(door.methods).toEqual(new Set(["GET", "HEAD"]));
    expect(door.asked.some((name) => name.includes("10.0.0.7"))).toBe(false);
  });

  it.each([
    [{ StatusCode: 0 }, {}, "Success", true],
    [{ isTimedOut: true }, { reason: "TimedOut", message: "it took too long" }, "TimedOut", false],
    [{ error: "no image" }, { reason: "Error", message: "no image" }, "Error", false],
  ])("that ended with %o says so", async (result, more, reason, ok) => {
    door.ends(finished(result, more));
    const page = linked();
    await settled();
    expect(page.job.value?.verdict).toMatchObject({ reason, ok });
  });

  it("below a path of a proxy has the files that its hub names without the path", async () => {
    door.ends(finished({ StatusCode: 0, outputs: { "a.txt": { type: "url", value: `${HUB}/f/${SHA}` } } }));
    door.answers[`${HUB}/team/f/${SHA}`] = 7;
    const page = linked({ hub: `${HUB}/team` });
    await settled();
    expect(page.result.value?.outputs?.["a.txt"]).toMatchObject({ ref: { type: "key", value: SHA }, size: 7 });
  });

  it("with very many files asks for the sizes of the first ones alone", async () => {
    const names = Array.from({ length: MOST_SIZED + 50 }, (_, n) => `file-${String(n).padStart(4, "0")}`);
    door.ends(finished({ StatusCode: 0, outputs: Object.fromEntries(names.map((name) => [name, { type: "url", value: `${HUB}/f/${name}` }])) }));
    for (const name of names) door.answers[`${HUB}/f/${name}`] = 9;
    const page = linked();
    await settled();
    expect(Object.values(page.result.value?.outputs ?? {}).filter(({ size }) => size === 9).length).toBe(MOST_SIZED);
    expect(Object.keys(page.result.value?.outputs ?? {}).length).toBe(MOST_SIZED + 50);
  });
});

describe("a job that has not ended", () => {
  it("is looked at again, less and less often, and no longer once it has ended", async () => {
    door.live();
    const page = linked();
    await settled();
    expect(page.standing.value).toBe("live");
    const waits: number[] = [];
    for (let n = 0; n < 8; n++) {
      const before = door.looks();
      let waited = 0;
      for (; door.looks() === before && waited <= LOOKS.most; waited += 500) await vi.advanceTimersByTimeAsync(500);
      waits.push(waited);
    }
    expect(waits).toEqual([2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]);
    door.ends(finished({ StatusCode: 0 }));
    await vi.advanceTimersByTimeAsync(LOOKS.most);
    expect(page.standing.value).toBe("ended");
    const looks = door.looks();
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(door.looks()).toBe(looks);
  });

  it("is not asked for while nobody sees the page, and at once when somebody does", async () => {
    door.live();
    const page = linked();
    await settled();
    page.see(false);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(door.looks()).toBe(1);
    page.see(true);
    await settled();
    expect(door.looks()).toBe(2);
    page.stop();
    page.see(true);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(door.looks()).toBe(2);
  });

  it("that writes without end takes a limited number of requests in one look", async () => {
    door.live();
    door.answers["run-logs.json?since="] = (name: string) => {
      const from = Number(/\d+$/.exec(name)?.[0]);
      return { data: [["more\n", from]], sliceStart: from, nextCursor: from + 1, isFinal: false };
    };
    const page = linked();
    await settled();
    expect(page.lines.log.length).toBe(MOST_SLICES);
    await vi.advanceTimersByTimeAsync(LOOKS.first);
    expect(page.lines.log.length).toBe(2 * MOST_SLICES);
  });
});

describe("a job without a result", () => {
  it.each([
    ["Cancelled", "Cancelled"],
    ["JobReplacedByClient", "Replaced"],
    ["WorkerLost", "WorkerLost"],
  ])("that ended as %s says so, and is not asked for again", async (told, reason) => {
    door.ends({ data: null });
    const text = `event: run-log\ndata: {"lines":[]}\n\nevent: final\ndata: {"state":"Finished","reason":"${told}"}\n\n`;
    door.answers["stream"] = new Response("x".repeat(5000) + text);
    const page = linked();
    await settled();
    expect(page.standing.value).toBe("ended");
    expect(page.job.value?.verdict).toMatchObject({ ok: false, reason });
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(door.looks()).toBe(1);
  });

  it("says in a sentence what may have happened if the hub does not tell the reason", async () => {
    door.ends({ data: null });
    const page = linked();
    await settled();
    expect(page.job.value?.verdict?.message).toMatch(/cancelled, replaced or lost/);
  });
});

describe("a link that shows nothing", () => {
  it("is asked once: the key is wrong or the job is not there", async () => {
    door.ends({ data: null });
    door.answers["definition.json"] = { data: null };
    const page = linked();
    await settled();
    expect(page.standing.value).toBe("missing");
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(door.looks()).toBe(1);
    expect(door.asked).not.toContain("run-logs.json?since=0");
  });

  it("has an id alone, unless the hub shows jobs by their ids", async () => {
    door.ends({ data: null });
    const closed = linked({ keyed: false });
    await settled();
    expect(closed.standing.value).toBe("missing");
    door.ends(finished({ StatusCode: 0 }));
    const shown = linked({ keyed: false });
    await settled();
    expect(shown.standing.value).toBe("ended");
  });
});

describe("a hub that can't be reached", () => {
  it("is a sentence, and is asked again until it answers", async () => {
    door.live();
    door.away = true;
    const page = linked();
    await settled();
    expect(page.problem.value).toMatch(/can't be reached/);
    expect(page.standing.value).toBe("looking");
    door.away = false;
    door.answers["result.json"] = new Response("busy", { status: 503 });
    await vi.advanceTimersByTimeAsync(LOOKS.first);
    expect(page.problem.value).toMatch(/HTTP status 503/);
    door.ends(finished({ StatusCode: 0 }));
    await vi.advanceTimersByTimeAsync(2 * LOOKS.first);
    expect([page.problem.value, page.standing.value]).toEqual([null, "ended"]);
  });
});
