/** A size of 0 means "unknown" for a file that a worker only named. */

import { expect, test } from "vitest";
import { knownSize } from "../src/files/known-size";

const NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

test("a size of 0 is unknown for a named file, unless its sha256 is that of no bytes", () => {
  expect(knownSize({ ref: { type: "url", value: "https://x/y" }, size: 0, sha256: "" })).toBe(null);
  expect(knownSize({ ref: { type: "key", value: "ab" }, size: 0, sha256: "ab" })).toBe(null);
  expect(knownSize({ ref: { type: "key", value: NOTHING }, size: 0, sha256: NOTHING })).toBe(0);
  expect(knownSize({ ref: { value: "" }, size: 0, sha256: NOTHING })).toBe(0);
  expect(knownSize({ ref: { type: "url", value: "https://x/y" }, size: 7, sha256: "" })).toBe(7);
});
