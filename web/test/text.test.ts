import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { parseDuration } from "../src/job/units";
import { Samples } from "../src/state/samples";
import { readCsv } from "../src/text/csv";
import { cliSaysAll, cliSnippet, curlSnippet, frameSnippet, shellWord } from "../src/text/snippets";
import { kindOf } from "../src/ui/file-kinds";

/** Splits a text into words with a real shell. */
const words = (text: string) =>
  execFileSync("sh", ["-c", `for word in ${text}; do printf '%s\\0' "$word"; done`]).toString().split("\0").slice(0, -1);

describe("snippets", () => {
  it("survive a shell", () => {
    const nasty = ["a b", "it's", "$(reboot)", "`x`", "", "*", "ä\\n", "two\nlines"];
    expect(words(nasty.map(shellWord).join(" "))).toEqual(nasty);
  });

  it("express the whole job, or say that they can't", () => {
    const job = { image: "alpine:3", command: "sh -c 'echo hi'", env: { A: "b c" }, requirements: { cpus: 2, memory: "1g" }, tags: ["lab"] };
    expect(words(cliSnippet("https://h/q/x", job))).toEqual(
      ["asman", "job", "add", "https://h/q/x", "--wait", "-i", "alpine:3", "-c", "sh -c 'echo hi'", "-e", "A=b c", "--cpus", "2", "-m", "1g", "--tag", "lab"],
    );
    expect(cliSaysAll(job)).toBe(true);
    expect(cliSaysAll({ ...job, build: { context: "x" } })).toBe(false);
    const [, , , , , , , body] = words(curlSnippet("https://h/q/x", job));
    expect(JSON.parse(body ?? "")).toEqual({ definition: job });
    expect(frameSnippet('https://h/#?a=1&b="')).toContain('src="https://h/#?a=1&amp;b=&quot;"');
  });
});

describe("a table in text", () => {
  it("is parsed with quotes, its own separator, and a limit of rows", () => {
    expect(readCsv('a,"b ""x"", y"\r\n1,"two\nlines"\n', 10)).toEqual([
      ["a", 'b "x", y'],
      ["1", "two\nlines"],
    ]);
    expect(readCsv("a\tb\n1\t2", 10)).toEqual([["a", "b"], ["1", "2"]]);
    expect(readCsv("a;b\n1;2\n3;4", 2)).toEqual([["a", "b"], ["1", "2"]]);
    expect(readCsv("", 5)).toEqual([]);
  });
});

describe("durations", () => {
  it("are parsed as strictly as by the hub", () => {
    expect(["20m", "1h30m", "1.5s", "250ms", "2d"].map(parseDuration)).toEqual([1_200_000, 5_400_000, 1500, 250, 172_800_000]);
    expect(["", "20", "soon", "5s3m", "-1s"].map(parseDuration)).toEqual([null, null, null, null, null]);
  });
});

describe("a file's kind", () => {
  it("is derived from its name and its media type", () => {
    const kinds = { "a.SVG": "image", "a/b.csv": "csv", "x.md": "markdown", "r.html": "html", Dockerfile: "text", "x.py": "text", "x.bin": "other" };
    for (const [name, kind] of Object.entries(kinds)) expect(kindOf(name), name).toBe(kind);
    expect(kindOf("x", "image/png")).toBe("image");
    expect(kindOf("x", "application/ld+json")).toBe("json");
    expect(kindOf("x", "video/mp4")).toBe("video");
  });

  it("gives a PDF no preview, whatever its name and media type say", () => {
    expect(kindOf("a.pdf")).toBe("other");
    expect(kindOf("a.PDF", "text/plain")).toBe("other");
    expect(kindOf("x", "application/pdf")).toBe("other");
  });
});

describe("samples of a queue", () => {
  const over = (id: string, wait: number, run: number) => ({ id, finished: 1, wait, run });

  it("count the jobs finished between samples, and take medians of new ones", () => {
    const samples = new Samples();
    samples.take({ time: 1000, queued: 5, running: 1, finished: 10 }, [over("old", 9, 9)]);
    samples.take({ time: 3000, queued: 3, running: 2, finished: 14 }, [over("old", 9, 9), over("a", 1, 10), over("b", 2, 20), over("c", 3, 30)]);
    expect(samples.times).toEqual([1, 3]);
    expect(samples.rate).toEqual([null, 2]);
    expect(samples.wait).toEqual([null, 2]);
    expect(samples.run).toEqual([null, 20]);
    samples.take({ time: 4000, queued: 0, running: 0, finished: 14 }, [over("a", 1, 10)]);
    expect(samples.run.at(-1)).toBeNull();
  });

  it("are limited in number", () => {
    const samples = new Samples();
    for (let n = 0; n < 700; n++) samples.take({ time: n * 1000, queued: 0, running: 0, finished: n }, []);
    expect(samples.times).toHaveLength(600);
    expect(samples.rate).toHaveLength(600);
  });
});
