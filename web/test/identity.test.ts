import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { canonicalJson, jobId, jobKey, resultUrl } from "../src/job/identity";
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

describe("the URL of a result", () => {
  const job = "0123456789abcdef".repeat(4);

  it("has a key that everybody with the queue can make, the same in all languages", () => {
    expect(jobKey("links-of-a-queue", job)).toBe("51abd4cf091245a9901306cdd4880d20");
    expect(resultUrl("https://hub.example", job, "links-of-a-queue")).toBe(`https://hub.example/j/${job}~51abd4cf091245a9901306cdd4880d20`);
  });

  it("does without where the hub tells no secret", () => {
    expect(resultUrl("https://hub.example", job, "")).toBe(`https://hub.example/j/${job}`);
  });
});
