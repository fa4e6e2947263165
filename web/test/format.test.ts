import { describe, expect, it } from "vitest";
import { plainText } from "../src/log/ansi";
import { duration, size, ticking } from "../src/text/format";
import { verdictSentence } from "../src/text/words";
import { jobFrom } from "../src/state/job";

describe("numbers for people", () => {
  it("writes durations", () => {
    expect([0, 850, 2440, 59_990, 1_205_000, 5_400_000, 90_000_000].map(duration)).toEqual([
      "0 ms", "850 ms", "2.4 s", "60.0 s", "20m 05s", "1h 30m", "1d 1h",
    ]);
    expect([900, 61_900].map(ticking)).toEqual(["0 s", "1m 01s"]);
  });

  it("writes sizes", () => {
    expect([17, 1536, 482_113, 2 * 1024 ** 3].map(size)).toEqual(["17 B", "1.5 KiB", "471 KiB", "2 GiB"]);
  });

  it("removes escapes and overwritten text from a line", () => {
    expect(plainText("\u001b[1;33mwarm\u001b[0m \u001b]8;;x\u0007link\u001b]8;;\u0007")).toBe("warm link");
    expect(plainText("10 %\r50 %\r100 %\r")).toBe("100 %");
    expect(plainText("as it is")).toBe("as it is");
  });
});

describe("the verdict's sentence", () => {
  const job = (fields: object) => jobFrom({ id: "a", rev: 1, state: "Queued", ...fields });

  it("gives the reason why a job waits", () => {
    expect(verdictSentence(job({}), "", 0)).toContain("no worker is connected");
    expect(verdictSentence(job({}), "", 2)).toContain("is waiting for a worker");
    // Attempts are counted over all runs, so a number above 1 tells of no loss.
    expect(verdictSentence(job({ attempt: 3 }), "", 2)).toBe("The job is waiting for a worker with enough free resources.");
    expect(verdictSentence(job({ state: "Running", phase: "pulling", attempt: 3 }), "vm", 2)).toBe("The image is being pulled on vm.");
  });

  it("describes the outcome", () => {
    const ended = (verdict: object) => verdictSentence(job({ state: "Finished", verdict }), "bench", 1);
    expect(ended({ ok: true, reason: "Success", exit_code: 0, duration: 1500 })).toBe(
      "Succeeded (exit code 0) after 1.5 s on bench.",
    );
    expect(ended({ ok: true, reason: "Success", exit_code: 0, message: "a process was killed" })).toBe(
      "Succeeded (exit code 0) on bench. A process was killed.",
    );
    expect(ended({ ok: false, reason: "Failed", exit_code: 3 })).toBe("Failed (exit code 3) on bench.");
    expect(ended({ ok: false, reason: "Error", message: "no such image" })).toBe("No such image.");
    expect(ended({ ok: false, reason: "SomethingNew" })).toBe("The job is finished.");
  });
});
