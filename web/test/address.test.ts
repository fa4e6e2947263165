import { blobFromBase64String, getUrlHashParams } from "@metapages/hash-query";
import { describe, expect, it } from "vitest";
import { asParams, effective, rawParams, readJson, readParams, withJob, writeHash, writeJson } from "../src/job/address";
import { jobId } from "../src/job/identity";

const job = { image: "alpine:3", command: "echo „grüße“ 🚀" };
const json = JSON.stringify(job);
const bytes = (text: string) => String.fromCharCode(...new TextEncoder().encode(text));

const generations = {
  newest: btoa(encodeURIComponent(json)),
  "percent-encoded once more": encodeURIComponent(btoa(encodeURIComponent(json))),
  "base64 of plain JSON": btoa(bytes(json)),
  "base64 of plain JSON, percent-encoded": encodeURIComponent(btoa(bytes(json))),
};

describe("a job's address", () => {
  it.each(Object.entries(generations))("is read when its JSON is %s", (_name, text) => {
    const params = readParams(rawParams(`#?job=${text}&queue=q`));
    expect(params.problems).toEqual([]);
    expect(params.job).toEqual(job);
  });

  it("keeps percent signs of plain JSON", () => {
    expect(readJson(btoa('{"command":"date +%20d"}'))).toEqual({ command: "date +%20d" });
  });

  it("describes the same job in every generation", () => {
    const ids = Object.values(generations).map((text) => jobId(effective(readParams(rawParams(`#?job=${text}`)))));
    expect(new Set(ids).size).toBe(1);
  });

  it("is written in the form that other software reads", () => {
    const hash = writeHash(withJob(rawParams("#?queue=q"), job, { "a.txt": "ä\n" }));
    const [, params] = getUrlHashParams(`https://hub/${hash}`);
    expect(blobFromBase64String(params["job"])).toEqual(job);
    expect(blobFromBase64String(params["inputs"])).toEqual({ "a.txt": "ä\n" });
    expect(Object.keys(params)).toEqual(["inputs", "job", "queue"]);
  });

  it("does not depend on the order of the definition's keys", () => {
    expect(writeJson({ b: { d: 1, c: 2 }, a: [3] })).toBe(writeJson({ a: [3], b: { c: 2, d: 1 } }));
  });

  it("adds other parameters to the environment, except those that pages inject", () => {
    const raw = rawParams(`#?job=${writeJson({ command: "echo ${name} ${other}" })}&name=J%20D&mp-x=1&channel=2&queue=q`);
    expect(effective(readParams(raw))).toEqual({ command: "echo J D ${other}", env: { name: "J D" } });
  });

  it("makes config files of text files, and adds piped inputs to those of the job", () => {
    const raw = withJob(new Map(), { inputs: { a: { value: "1" } } }, { "run.sh": "ls" });
    expect(effective(readParams(raw), { b: { value: "2", type: "utf8" } })).toEqual({
      env: {},
      inputs: { a: { value: "1" }, b: { value: "2", type: "utf8" } },
      configFiles: { "run.sh": { type: "utf8", value: "ls" } },
    });
  });

  it("turns a stored definition into parameters of the same job", () => {
    const stored = {
      image: "a",
      configFiles: { t: { type: "utf8" as const, value: "x" }, u: { value: "y" }, k: { type: "base64" as const, value: "eg==" } },
    };
    const { job: kept, files } = asParams(stored);
    expect(files).toEqual({ t: "x" });
    expect(jobId(effective(readParams(withJob(new Map(), kept, files))))).toBe(jobId(stored));
  });

  it("reports the parameters that can't be used, and the reason", () => {
    const raw = rawParams("#?job=%%%&inputs=W10=&autostart=yes&maxJobDuration=20");
    const { problems } = readParams(raw);
    expect(problems.map(({ name }) => name).sort()).toEqual(["autostart", "inputs", "job", "maxJobDuration"]);
    expect(problems.find(({ name }) => name === "job")?.why).toMatch(/not base64/);
    expect(problems.find(({ name }) => name === "inputs")?.why).toMatch(/texts by file name, but contains a list/);
    expect(() => readJson(btoa("nope"))).toThrow(/no JSON/);
  });

  it("reads time limits, and reports zero and what is no limit as it stands in the URL", () => {
    const read = (maxJobDuration: string, maxDuration?: unknown) => {
      const control = maxDuration === undefined ? "" : `&control=${writeJson({ maxDuration })}`;
      const { timeLimits, problems } = readParams(rawParams(`#?maxJobDuration=${maxJobDuration}${control}`));
      return [timeLimits, problems.map(({ name, why, stops }) => `${name} ${why} ${stops}`)];
    };
    expect(read("20m", "1.5s")).toEqual([[1_200_000, 1500], []]);
    expect(read("", null)).toEqual([[], []]);
    const zero = (shown: string) => `${shown} is no time limit, which has at least 1 ms; leave it out for no limit true`;
    expect(read("0s", "0m0s")).toEqual([[], [`maxJobDuration ${zero("“0s”")}`, `control its maxDuration: ${zero("“0m0s”")}`]]);
    expect(read("1h", "")).toEqual([[3_600_000], [`control its maxDuration: ${zero("an empty text")}`]]);
    expect(read("1h", "soon")[1]).toEqual([expect.stringContaining("“soon” is not a duration")]);
    expect(read("1h", 20)[1]).toEqual([expect.stringContaining("it must be a text")]);
  });

  it("takes limits, durations and variables in every form that older links have", () => {
    const limits = (text: string) => readParams(rawParams(`#?maxJobDuration=${encodeURIComponent(text)}`)).timeLimits;
    for (const text of ["10 min", "10m", "600000", "10 Minutes", "9m 60 secs"]) expect(limits(text)).toEqual([600_000]);
    for (const text of ["20", "soon", "5 parsecs", "-5m", "1h30", "5000 constructor"]) expect(limits(text)).toEqual([]);
    const older = { env: { N: 1, B: false, T: "x" }, maxDuration: "2 hours", requirements: { maxDuration: 600_000 } };
    expect(readParams(rawParams(`#?job=${writeJson(older)}`)).job).toEqual({
      env: { N: "1", B: "false", T: "x" },
      maxDuration: "7200000ms",
      requirements: { maxDuration: "600000ms" },
    });
  });
});
