import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { parseDuration } from "../src/job/units";
import { Samples } from "../src/state/samples";
import { readCsv } from "../src/text/csv";
import { cliSaysAll, cliSnippet, curlSnippet, frameSnippet, pythonSnippet, shellWord } from "../src/text/snippets";
import { visibleParts } from "../src/text/visible";
import { asLines } from "../src/text/what-runs";
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
      ["ASMAN_QUEUE=https://h/q/x", "asman", "job", "add", "--wait", "-i", "alpine:3", "-c", "sh -c 'echo hi'", "-e", "A=b c", "--cpus", "2", "-m", "1g", "--tag", "lab"],
    );
    expect(cliSaysAll(job)).toBe(true);
    expect(cliSaysAll({ ...job, build: { context: "x" } })).toBe(false);
    const [, , , , , , , body] = words(curlSnippet("https://h/q/x", job));
    expect(JSON.parse(body ?? "")).toEqual({ definition: job });
    expect(frameSnippet('https://h/#?a=1&b="')).toContain('src="https://h/#?a=1&amp;b=&quot;"');
  });
});

describe("the Python program", () => {
  /** What the program submits, as a real Python reads it; the library is replaced by one that prints it. */
  const submitted = (definition: object) => {
    const program = pythonSnippet("https://h/q/x", definition).replace("import asyncio, asman", "import asyncio");
    const library = `
import json
class Queue:
    async def __aenter__(self): return self
    async def __aexit__(self, *_): pass
    async def submit(self, definition=None, **fields): print(json.dumps(definition or fields)); return self
    async def result(self): return ""
class asman:
    connect = staticmethod(lambda url: Queue())
`;
    return JSON.parse(execFileSync("python3", ["-c", library + program]).toString()) as unknown;
  };

  it("submits the whole job, inputs and all", () => {
    const inputs = { "a/ä.txt": { type: "utf8", value: 'two "lines"\nand \\ all' }, j: { type: "json", value: [true, false, null, 1.5] } };
    const whole = { image: "alpine:3", command: ["cat", "it's"], env: { A: "b" }, inputs, requirements: { cpus: 2 }, ignoreFailure: true };
    expect(submitted(whole)).toEqual(whole);
    expect(submitted({ image: "a", command: "b c" })).toEqual({ image: "a", command: "b c" });
    expect(pythonSnippet("u", { image: "a", command: "b", env: {} })).toContain('submit(image="a", command="b")');
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

describe("a text of a stranger", () => {
  const seen = (text: string) => visibleParts(text).map((part) => (part.mark ? `[${part.text}]` : part.text)).join("");

  it("shows no hidden character as nothing, and none that moves others", () => {
    expect(seen("echo\u202e \u200bdaB\u0007\u00a0\ud800")).toBe("echo[U+202E] [U+200B]daB[U+0007][U+00A0][U+D800]");
    expect(seen("a\tb\r\nc")).toBe("a[\\t]b[\\r][\\n]\nc");
    expect(seen("U+202E \\n ä 😀 名前")).toBe("U+202E \\n ä 😀 名前");
  });

  it("pushes nothing out of sight by many blanks", () => {
    expect(seen(`a${" ".repeat(5000)}b${"\n".repeat(900)}c`)).toBe("a[space × 5000]b[\\n × 900]\nc");
    expect(seen(`a${" ".repeat(16)}b`)).toBe(`a${" ".repeat(16)}b`);
  });
});

describe("what a job runs", () => {
  const said = (definition: object, image = "") => asLines(definition, image).map(({ label, texts, note }) => `${label}: ${texts.join(" | ") || note}`);

  it("names image, entrypoint and command, the image that the hub adds, and what is left to the image", () => {
    expect(said({ image: "alpine:3", entrypoint: ["sh", "-c"], command: ["a b", "c"] })).toEqual([
      "Image: alpine:3",
      "Entrypoint: sh -c",
      "Command: 'a b' c",
    ]);
    expect(said({ command: "id" }, "debian:12")).toEqual([
      "Image: debian:12",
      "Entrypoint: the image’s own, if it has one",
      "Command: id",
    ]);
    expect(said({ command: "id" })[0]).toContain("the worker’s machine itself");
    expect(said({ image: "alpine:3" })[2]).toBe("Command: the image’s own");
  });

  it("names every step, stream and volume, and a member that nobody has thought of", () => {
    const steps = [{ image: "evil/x", command: ["sh", "-c", "a"], stdout: "/data/log" }, { env: { A: "1" }, new: true }];
    expect(said({ image: "alpine", command: "b", stdin: "/data/in", volumes: ["/data"], steps, gadget: { a: 1 } })).toEqual([
      "Image: alpine",
      "Entrypoint: the image’s own, if it has one",
      "Command: b",
      "Standard input: /data/in",
      "Volumes: /data",
      "Step 2: after the one before has ended, in a container of its own",
      "Image: evil/x",
      "Entrypoint: the image’s own, if it has one",
      "Command: sh -c a",
      "Standard output: /data/log",
      "Step 3: after the one before has ended, in a container of its own",
      "Image: the job’s own",
      "Entrypoint: the image’s own, if it has one",
      "Command: the image’s own",
      "Variables: A=1",
      "new: true",
      'gadget: {"a":1}',
    ]);
    expect(said({ command: "b", steps: ["x", null] }, "debian").filter((line) => line.startsWith("Unknown"))).toEqual(["Unknown: x", "Unknown: null"]);
  });

  it("says of the image’s own entrypoint and command only what an engine does", () => {
    expect(said({ image: "a", entrypoint: [], command: "id" }).slice(1)).toEqual(["Entrypoint: none, and not the image’s own", "Command: id"]);
    expect(said({ image: "a", entrypoint: [] })[2]).toBe("Command: the image’s own");
    expect(said({ image: "a", entrypoint: "sh" })[2]).toBe("Command: none");
    expect(said({ image: "a", entrypoint: " ", command: "\n" }).slice(1)).toEqual([
      "Entrypoint: the image’s own, if it has one",
      "Command: the image’s own",
    ]);
  });

  it("shows a build as the build that it is", () => {
    expect(said({ build: { context: "https://git.example/a.git#main", dockerfile: "FROM b\nRUN c", buildArgs: ["X=1"] }, command: "d" }, "debian:12")).toEqual([
      "Build of: https://git.example/a.git#main",
      "Dockerfile: FROM b\nRUN c",
      "Build arguments: X=1",
      "Entrypoint: the image’s own, if it has one",
      "Command: d",
    ]);
  });

  it("names variables and files, which can change the meaning of a command", () => {
    const job = { image: "a", workdir: "/w", env: { PATH: "/inputs", "A\nB": "1" }, configFiles: { "/bin/sh": { value: "x" } }, inputs: { data: { value: "y" } } };
    expect(said(job).slice(3)).toEqual(["Working directory: /w", "Variables: PATH=/inputs | A\nB=1", "Files: /bin/sh | data"]);
  });

  it("shows values of any type, since a link can hold any", () => {
    expect(said({ image: { a: 1 }, command: [1, null], env: { A: 2 } } as object)).toEqual([
      'Image: {"a":1}',
      "Entrypoint: the image’s own, if it has one",
      "Command: 1 null",
      "Variables: A=2",
    ]);
  });
});
