import { describe, expect, it } from "vitest";
import { RequestError } from "../src/protocol/errors";
import type { BlobTicket } from "../src/protocol/messages";
import { nameOf, type Send, SendError, upload } from "../src/state/upload";

const HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
const hello = new Blob(["hello"]);

/** A hub that answers with these tickets in turn, and repeats the last one. */
function hubOf(...tickets: (Partial<BlobTicket> | Error)[]) {
  let at = 0;
  const sent: [string, number][] = [];
  const send: Send = async ({ url }, bytes, told) => {
    told(bytes.size);
    sent.push([url, bytes.size]);
  };
  const ask = async () => {
    const ticket = tickets[Math.min(at++, tickets.length - 1)];
    if (ticket instanceof Error) throw ticket;
    return { type: "blob_tickets" as const, ref: 1, tickets: [{ sha256: HELLO, ...ticket }] };
  };
  return { options: { ask, send, hub: "https://hub", pause: async () => undefined }, sent, asked: () => at };
}

describe("an upload", () => {
  it("sends nothing that the hub already has", async () => {
    const hub = hubOf({ exists: true });
    expect(await upload(hello, hub.options)).toBe(HELLO);
    expect(hub.sent).toEqual([]);
  });

  it("sends the whole file and asks again until the hub has it", async () => {
    const hub = hubOf({ url: "/b/x?s=1" }, { pending: true }, { exists: true });
    const stages: string[] = [];
    await upload(hello, hub.options, ({ stage }) => stages.push(stage));
    expect(hub.sent).toEqual([["https://hub/b/x?s=1", 5]]);
    expect(hub.asked()).toBe(3);
    expect([...new Set(stages)]).toEqual(["reading", "sending", "checking"]);
  });

  it("sends the missing parts, then those in the next ticket", async () => {
    const part = (number: number, offset: number, size: number) => ({ number, offset, size, url: `https://s3/${number}` });
    const hub = hubOf(
      { parts: [part(2, 2, 2)], missing: 3 },
      { parts: [part(3, 4, 1)], missing: 1 },
      { exists: true },
    );
    const done: number[] = [];
    await upload(hello, hub.options, (progress) => progress.stage === "sending" && done.push(progress.done));
    expect(hub.sent).toEqual([
      ["https://s3/2", 2],
      ["https://s3/3", 1],
    ]);
    expect(done).toEqual([4, 5]);
  });

  it("continues after a failed transfer and an unreachable hub", async () => {
    const hub = hubOf({ url: "/b" }, new RequestError("connection_failed", "away", null, true), { url: "/b" }, { exists: true });
    let broken = true;
    const send: Send = async (...given) => {
      if (broken) {
        broken = false;
        throw new SendError("the connection broke", false);
      }
      await hub.options.send(...given);
    };
    expect(await upload(hello, { ...hub.options, send })).toBe(HELLO);
    expect(hub.sent).toHaveLength(1);
  });

  it("gives up with the reason when no part arrives", async () => {
    const hub = hubOf({ url: "/b" });
    const send: Send = async () => {
      throw new SendError("the store is full", false);
    };
    await expect(upload(hello, { ...hub.options, send })).rejects.toThrow(/the store is full/);
    expect(hub.asked()).toBeLessThan(20);
  });

  it("ends at once when it is refused or aborted", async () => {
    await expect(upload(hello, hubOf({ refused: "These are other bytes." }).options)).rejects.toThrow("These are other bytes.");
    const big = hubOf(new RequestError("too_large", "A blob has at most 1 GiB."));
    await expect(upload(hello, big.options)).rejects.toThrow("at most 1 GiB");
    const stop = new AbortController();
    stop.abort();
    await expect(upload(hello, hubOf({ url: "/b" }).options, () => undefined, stop.signal)).rejects.toThrow(/abort/i);
  });

  it("names a blob by its sha256, hashed in slices or at once", async () => {
    expect(await nameOf(hello)).toBe(HELLO);
    const { subtle } = crypto;
    Object.defineProperty(crypto, "subtle", { value: undefined, configurable: true });
    try {
      expect(await nameOf(hello)).toBe(HELLO);
    } finally {
      Object.defineProperty(crypto, "subtle", { value: subtle, configurable: true });
    }
  });
});
