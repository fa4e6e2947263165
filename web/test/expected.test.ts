import { describe, expect, it } from "vitest";
import { writeJson } from "../src/job/address";
import { needsValues } from "../src/metaframe/expected";

const text = (value: string) => ({ type: "utf8" as const, value });

describe("a job needs values of the page around it", () => {
  it("when it reads files below /inputs that it does not bring", () => {
    for (const command of [
      "cat /inputs/word",
      "cd /inputs; ls",
      "sh -c 'cat $JOB_INPUTS/word'",
      "sh -c 'cat ${JOB_INPUTS}/deep/word'",
      "sh -c 'for each in /inputs/*; do sha256sum $each; done'",
    ]) {
      expect(needsValues(undefined, { command }), command).toBe(true);
    }
    expect(needsValues(undefined, { command: ["cp", "/inputs/a", "/outputs/a"] })).toBe(true);
    expect(needsValues(undefined, { command: "run", env: { FROM: "/inputs/a" } })).toBe(true);
    const own = { command: "sh /inputs/make.sh", configFiles: { "make.sh": text("cat /inputs/make.sh /inputs/word") } };
    expect(needsValues(undefined, own)).toBe(true);
    for (const script of ["cp /inputs/$name /outputs", 'cd "$JOB_INPUTS"; cat word', "import os; os.listdir('/inputs')"]) {
      expect(needsValues(undefined, { ...own, configFiles: { "make.sh": text(script) } }), script).toBe(true);
    }
    expect(needsValues(undefined, { command: "sh make.sh", workdir: "/inputs", configFiles: { "make.sh": text("") } })).toBe(true);
  });

  it("also when its Dockerfile, or a file in base64 or JSON, reads them", () => {
    const command = "sh /inputs/make.sh";
    for (const dockerfile of ["FROM busybox\nCMD cat /inputs/word", 'FROM busybox\nENTRYPOINT ["cat", "/inputs/word"]', "CMD cat inputs/word"]) {
      expect(needsValues(undefined, { build: { dockerfile } }), dockerfile).toBe(true);
    }
    expect(needsValues(undefined, { build: { dockerfile: "ARG WHAT\nENV FROM=$WHAT", buildArgs: ["WHAT=/inputs/word"] } })).toBe(true);
    for (const script of ["cat /inputs/word", "# größe\ncat $JOB_INPUTS/word"]) {
      const value = btoa(String.fromCharCode(...new TextEncoder().encode(script)));
      const job = { command, configFiles: { "make.sh": { type: "base64" as const, value } } };
      expect(needsValues(undefined, job), script).toBe(true);
    }
    for (const value of [{ paths: ["/inputs/make.sh", "/inputs/word"] }, { "/inputs/word": 1 }, "cat\n/inputs/word", [[["../inputs/word"]]]]) {
      const job = { command, configFiles: { "make.sh": text(""), "plan.json": { type: "json" as const, value } } };
      expect(needsValues(undefined, job), JSON.stringify(value)).toBe(true);
    }
  });

  it("also by a path from the folder in which it starts", () => {
    for (const command of ["cat ../inputs/word", "cat /outputs/../inputs/word", "cat ./inputs/word", "cat /./inputs/word", "ls ../inputs", "cat //inputs/word"]) {
      for (const workdir of ["/work", "/", undefined]) {
        expect(needsValues(undefined, workdir === undefined ? { command } : { command, workdir }), command).toBe(true);
      }
    }
    for (const command of ["cat inputs/word", "ls inputs/", "sh -c 'cd inputs/; cat word'"]) {
      for (const workdir of ["/", "/.", "/app/..", "//", undefined]) {
        expect(needsValues(undefined, workdir === undefined ? { command } : { command, workdir }), `${workdir} ${command}`).toBe(true);
      }
      expect(needsValues(undefined, { command, workdir: "/work" }), command).toBe(false);
      const built = (folder: string) => ({ command, build: { dockerfile: `FROM busybox\nWORKDIR ${folder}\nCOPY a /b` } });
      expect(needsValues(undefined, built("/")), command).toBe(true);
      expect(needsValues(undefined, built("/work")), command).toBe(false);
    }
    expect(needsValues(undefined, { command: "sh -c 'cd inputs; cat word'", workdir: "/" })).toBe(true);
    expect(needsValues(undefined, { command: ["ls", "inputs"], workdir: "/" })).toBe(true);
  });

  it("and not when only the build of its image reads a folder of this name", () => {
    for (const dockerfile of ["COPY inputs/ /data/", "COPY --from=other \\\n  /inputs/a \\\n  /b", "add inputs/a /inputs/a"]) {
      expect(needsValues(undefined, { command: "run", build: { dockerfile: `FROM busybox\n${dockerfile}\nCMD run` } }), dockerfile).toBe(false);
    }
    const files = { "make.sh": { type: "base64" as const, value: btoa("cat /inputs/a.json") }, "a.json": { type: "json" as const, value: ["/inputs/make.sh", 1, null] } };
    expect(needsValues(undefined, { command: "sh /inputs/make.sh", configFiles: files })).toBe(false);
    const odd = { a: { type: "base64" as const, value: "%" }, b: { type: "key" as const, value: "ab" }, c: { type: "url" as const, value: "https://x/inputs/b" } };
    expect(needsValues(undefined, { command: "run", configFiles: odd })).toBe(false);
    for (const command of ["ls data/inputs/a", "cat $HOME/inputs/a", "echo inputs-2/a"]) {
      expect(needsValues(undefined, { command }), command).toBe(false);
    }
  });

  it("and not when it brings all that it reads, or reads nothing there", () => {
    for (const command of ["echo first", "ls /data/inputs/a", "curl https://host/inputs/a", "echo $JOB_INPUTS_URL_PREFIX"]) {
      expect(needsValues(undefined, { command }), command).toBe(false);
    }
    const own = { command: "sh /inputs/make.sh", configFiles: { "make.sh": text("cat $JOB_INPUTS/deep/a.txt.") } };
    expect(needsValues(undefined, { ...own, inputs: { "deep/a.txt": text("") } })).toBe(false);
    expect(needsValues(undefined, { command: "ls /inputs/deep", inputs: { "/deep/a.txt": text("") } })).toBe(false);
  });

  it("when the definition of its frame lists inputs", () => {
    const job = { command: "echo first" };
    expect(needsValues(writeJson({ version: "2", inputs: { word: {} } }), job)).toBe(true);
    for (const encoded of [writeJson({ inputs: {} }), writeJson({}), writeJson([1]), "", "%%%", undefined]) {
      expect(needsValues(encoded, job)).toBe(false);
    }
  });
});
