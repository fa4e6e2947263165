import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { canonicalJson, jobId } from "../src/job/identity";
import type { Definition } from "../src/protocol/messages";

interface Vector {
  definition: Definition;
  id_second: string;
}

/** The ids that existing clients computed for these definitions; the hub is tested with the same file. */
const vectors = JSON.parse(readFileSync(new URL("../../tests/data/job_ids.json", import.meta.url), "utf8")) as Vector[];

describe("a job's id", () => {
  it("equals the id of existing clients", () => {
    expect(vectors.length).toBeGreaterThan(10);
    for (const { definition, id_second } of vectors) expect(jobId(definition), JSON.stringify(definition)).toBe(id_second);
  });

  it("equals the documented example", () => {
    expect(jobId({ command: 'echo "hello world"', env: {}, image: "alpine:3.19.1" })).toBe(
      "9a684c59f4270fa102f102d2aafe92d5e78ad285116f02d845e5dabbfb0ba873",
    );
  });

  it("covers neither injected variables nor the signed part of a URL", () => {
    const bare = jobId({ image: "a", inputs: { f: { type: "url", value: "https://h/x" } } });
    const noisy = jobId({
      image: "a",
      env: { channel: "1", "mp-x": "2", mp_y: "3" },
      inputs: { f: { type: "url", value: "https://h/x/presignedurl/?sig=1" } },
    });
    expect(noisy).toBe(bare);
  });

  it("orders keys by UTF-16 code units, not by code points", () => {
    expect(canonicalJson({ "\u{1f600}": 1, "\uffee": 2, a: [1e21, 0.5, -0] })).toBe('{"a":[1e+21,0.5,0],"😀":1,"\uffee":2}');
  });
});
