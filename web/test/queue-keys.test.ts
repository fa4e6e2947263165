/** Keys to queues: the same as in Python, and where they stand in addresses. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { derivedKey, type KeyKind } from "../src/job/queue-keys";
import { parseQueue, parseRoute, queueNamed, queueUrl } from "../src/route";

const vectors = JSON.parse(readFileSync(new URL("../../tests/data/queue_keys.json", import.meta.url), "utf8")) as {
  name: string;
  keys: Record<KeyKind, string>;
}[];

describe("keys to queues", () => {
  it("are derived as in Python", () => {
    expect(vectors.length).toBeGreaterThan(3);
    for (const { name, keys } of vectors) {
      for (const [kind, key] of Object.entries(keys)) {
        expect(derivedKey(queueNamed(name) as string, kind as KeyKind), `${name} ${kind}`).toBe(key);
      }
    }
  });

  it("stand in the place of the name", () => {
    const key = derivedKey("foo", "read");
    const queue = { hub: "https://hub.example", name: key };
    expect(parseQueue(key, "https://hub.example")).toEqual(queue);
    expect(parseQueue(queueUrl(queue), "https://other.example")).toEqual(queue);
    const at = { origin: "https://hub.example", pathname: `/q/${key}`, hash: "" };
    expect(parseRoute(at)).toEqual({ page: "queue", queue });
    expect(parseRoute({ ...at, pathname: "/", hash: `#?queue=${key}` })).toEqual({ page: "queue", queue });
  });

  it("have one form", () => {
    const key = derivedKey("foo", "read");
    for (const wrong of ["~", key.slice(0, -1), `${key}a`, key.toUpperCase(), key.slice(1).padEnd(53, "1").replace(/^/, "~")]) {
      expect(parseQueue(wrong, "https://hub.example"), wrong).toBeNull();
    }
  });
});
