import { describe, expect, it } from "vitest";
import { firstError, looksLikeError } from "../src/log/first-error";
import { JobLog } from "../src/log/job-log";
import { STDERR, STDOUT, type WireLine } from "../src/protocol/messages";

function log(...lines: readonly [stream: number, text: string][]): JobLog {
  const made = new JobLog();
  made.add(lines.map(([stream, text], n): WireLine => [n, 0, stream, text, "running"]), null);
  return made;
}

describe("the first error of a log", () => {
  it.each(["ValueError: no", "\u001b[31merror\u001b[0m: it broke", "sh: nope: not found", "3 errors", "make: *** [all] Error 1", "Permission denied"])(
    "is a line like %j",
    (text) => {
      expect(firstError(log([STDOUT, "fine"], [STDERR, "a note"], [STDOUT, text]))).toBe(2);
    },
  );

  it.each(["0 errors, 2 warnings", "no errors found", "error: none", "warning: error ahead", "compiling error-free.txt", "src/error.rs", "non-fatal"])(
    "is no line like %j",
    (text) => {
      expect(looksLikeError(text)).toBe(false);
    },
  );

  it("is the first line on standard error where none looks like one, and else nothing", () => {
    expect(firstError(log([STDOUT, "fine"], [STDERR, "a note"]))).toBe(1);
    expect(firstError(log([STDOUT, "fine"]))).toBe(null);
  });
});
