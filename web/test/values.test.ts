import { describe, expect, it } from "vitest";
import { definitionOf, fileUrl, inputName, pipedJob, refOf } from "../src/metaframe/values";
import type { DataRef } from "../src/protocol/messages";

/** A fake blob store whose refs contain the number of bytes. */
const store = async (blob: Blob): Promise<DataRef> => ({ type: "key", value: String(blob.size) });
const ref = (value: unknown) => refOf(value, store);
const base64 = (bytes: number[]) => btoa(String.fromCharCode(...bytes));

describe("a piped value becomes a ref", () => {
  it("as text, number, JSON", async () => {
    expect(await ref("plain")).toEqual({ type: "utf8", value: "plain" });
    expect(await ref(4.5)).toEqual({ type: "utf8", value: "4.5" });
    expect(await ref(true)).toEqual({ type: "json", value: true });
    expect(await ref([1, "a"])).toEqual({ type: "json", value: [1, "a"] });
    expect(await ref({ type: "circle", value: 3 })).toEqual({ type: "json", value: { type: "circle", value: 3 } });
  });

  it("as itself when it is already a ref, without fields that are not part of the id", async () => {
    expect(await ref({ type: "url", value: "https://x/y", hash: "h" })).toEqual({ type: "url", value: "https://x/y" });
    expect(await ref({ type: "key", value: "ab", more: 1 })).toMatchObject({ type: "json" });
  });

  it("as bytes, in every form that pages use", async () => {
    const bytes = { type: "base64", value: base64([1, 2, 255]) };
    expect(await ref(new Uint8Array([1, 2, 255]))).toEqual(bytes);
    expect(await ref(new Uint8Array([9, 1, 2, 255]).subarray(1))).toEqual(bytes);
    expect(await ref(new Uint8Array([1, 2, 255]).buffer)).toEqual(bytes);
    expect(await ref(new File([new Uint8Array([1, 2, 255])], "x"))).toEqual(bytes);
    expect(await ref(`data:application/octet-stream;type=Uint8Array;base64,${bytes.value}`)).toEqual(bytes);
    expect(await ref(`data:image/png;blob=true;base64,${bytes.value}`)).toEqual(bytes);
    expect(await ref(`data:a/b;file=true;name=x%20y;lastModified=1;base64,${bytes.value}`)).toEqual(bytes);
    expect(await ref({ _s: true, _c: "Uint8Array", value: bytes.value })).toEqual(bytes);
    expect(await ref({ _s: true, _c: "File", value: bytes.value, name: "x" })).toEqual(bytes);
    expect(await ref({ ref: "base64", c: "Blob", value: bytes.value })).toEqual(bytes);
    expect(await ref(new Float32Array([1]))).toEqual({ type: "base64", value: base64([0, 0, 128, 63]) });
  });

  it("as the content of other data strings", async () => {
    expect(await ref("data:text/x-uri;charset=utf-8,https%3A%2F%2Fx%2Fa%20b")).toEqual({ type: "url", value: "https://x/a b" });
    expect(await ref("data:application/json,%7B%22a%22%3A1%7D")).toEqual({ type: "json", value: { a: 1 } });
    expect(await ref("data:application/json,nope")).toEqual({ type: "utf8", value: "nope" });
    expect(await ref("data:text/plain,a%20b")).toEqual({ type: "utf8", value: "a b" });
    expect(await ref("data: is a word")).toEqual({ type: "utf8", value: "data: is a word" });
  });

  it("by its sha256 when it is long", async () => {
    expect(await ref("x".repeat(5000))).toEqual({ type: "key", value: "5000" });
    expect(await ref(new Uint8Array(5000))).toEqual({ type: "key", value: "5000" });
    expect(await ref([..."x".repeat(5000)])).toMatchObject({ type: "key" });
  });

  it("or no ref, when it was removed", async () => {
    expect(await ref(undefined)).toBeNull();
    expect(await ref(null)).toBeNull();
  });
});

describe("pipes", () => {
  it("are files by their name, except those of the job itself", () => {
    expect(inputName("/a/b.txt")).toBe("a/b.txt");
    expect(inputName("job")).toBeNull();
    expect(inputName("metaframe/job")).toBeNull();
    expect(inputName("/")).toBeNull();
  });

  it("deliver definitions as objects, as text, and as refs", () => {
    const job = { image: "a" };
    for (const form of [job, JSON.stringify(job), { type: "json", value: job }, { type: "utf8", value: JSON.stringify(job) }]) {
      expect(definitionOf(form)).toEqual(job);
    }
    expect(definitionOf("nope")).toBeNull();
    expect(definitionOf([1])).toBeNull();
  });

  it("deliver definitions as bytes and data strings, as frames pipe on what their jobs made", async () => {
    const job = { image: "ä" };
    const bytes = new TextEncoder().encode(JSON.stringify(job));
    const value = base64([...bytes]);
    const forms = [
      bytes,
      bytes.buffer,
      { type: "base64", value },
      { _s: true, _c: "File", value, name: "job" },
      `data:application/json;file=true;name=job;lastModified=0;base64,${value}`,
      `data:application/json,${encodeURIComponent(JSON.stringify(job))}`,
      await fileUrl("job", "application/octet-stream", new Blob([bytes])),
    ];
    for (const form of forms) expect(definitionOf(form)).toEqual(job);
    for (const none of [new Uint8Array([1]), new Blob(["{}"]), { type: "base64", value: "§" }, "data:x", "data:text/x-uri,https%3A%2F%2Fx"]) {
      expect(definitionOf(none)).toBeNull();
    }
  });

  it("of the job are found whatever slashes are before their names", () => {
    const job = { image: "a" };
    for (const name of ["job", "/job", "metaframe/job", "//metaframe/job"]) expect(pipedJob({ [name]: job })).toEqual(job);
    expect(pipedJob({ "a/job": job })).toBeNull();
  });

  it("carry large files without a call with too many arguments", async () => {
    const url = await fileUrl("a b.bin", "x/y", new Blob([new Uint8Array(300_000)]));
    expect(url).toMatch(/^data:x\/y;file=true;name=a%20b\.bin;lastModified=0;base64,AAAA/);
    expect(atob(url.slice(url.indexOf(",") + 1)).length).toBe(300_000);
  });
});
