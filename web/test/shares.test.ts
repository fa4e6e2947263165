/** What a page hands on: addresses that grant no more than they say, and no more than its own. */

import { describe, expect, it } from "vitest";
import { derivedKey } from "../src/job/queue-keys";
import type { Right } from "../src/protocol/messages";
import { sharesOf } from "../src/state/shares";

const hub = "https://hub.example";
const name = "foo";
const at = (place: string) => ({ hub, name: place });
const rights = (...some: Right[]) => new Set(some);

describe("what a page hands on", () => {
  it("is never the name of a queue where keys are known", () => {
    const found = sharesOf(at(name), rights("read", "submit", "work", "own"));
    expect(found).toEqual({
      watch: at(derivedKey(name, "read")),
      use: at(derivedKey(name, "submit+read")),
      work: at(derivedKey(name, "work")),
      limited: true,
    });
  });

  it.each([
    ["read", rights("read"), { watch: true, use: false, work: false }],
    ["submit", rights("submit"), { watch: false, use: true, work: false }],
    ["work", rights("work"), { watch: false, use: false, work: true }],
    ["submit+read", rights("submit", "read"), { watch: false, use: true, work: false }],
  ] as const)("is the key itself, for what it grants: %s", (kind, granted, expected) => {
    const queue = at(derivedKey(name, kind));
    const found = sharesOf(queue, granted);
    for (const way of ["watch", "use", "work"] as const) expect(found[way], way).toEqual(expected[way] ? queue : null);
  });

  it("is the queue itself where no keys can be made", () => {
    for (const [queue, known] of [
      [at("local"), rights("read", "submit", "work", "own")],
      [at(name), null],
    ] as const) {
      expect(sharesOf(queue, known)).toEqual({ watch: null, use: queue, work: queue, limited: false });
    }
  });
});
