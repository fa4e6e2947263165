import { describe, expect, it } from "vitest";
import { PLAIN, spans, styleAfter } from "../src/log/ansi";
import { HEADING, LINE, LogLayout, columnsOf, rowsOf } from "../src/log/layout";
import { LogSearch } from "../src/log/search";
import type { Phase, WireLine } from "../src/protocol/messages";
import { JobLog } from "../src/log/job-log";
import { OLD_CHARACTERS, OLD_LINES } from "../src/log/overwritten";

const lines = (from: number, to: number, phase: Phase = "running"): WireLine[] =>
  Array.from({ length: to - from }, (_, n) => [from + n, 0, 0, `line ${from + n}`, phase]);

const line = (seq: number, text: string, stream = 0): WireLine => [seq, 0, stream, text, "running"];

const texts = (log: JobLog) => Array.from({ length: log.length }, (_, at) => log.text(at));

/** The rows of a log: seqs, and holes as `[from, to)`, with `!` when lost and `<` when dropped by the page. */
function seen(log: JobLog): (number | string)[] {
  const found: (number | string)[] = [];
  for (let at = 0; at <= log.length; at++) {
    for (const hole of log.holes) {
      if (hole.at === at) found.push(`${hole.from}-${hole.to}${{ missing: "", lost: "!", left: "<" }[hole.kind]}`);
    }
    if (at < log.length) found.push(log.line(at).seq);
  }
  return found;
}

describe("the log of a job", () => {
  it("appends in order and drops repeats", () => {
    const log = new JobLog();
    log.add(lines(0, 3));
    log.add(lines(1, 5));
    expect(seen(log)).toEqual([0, 1, 2, 3, 4]);
    expect(log.next.value).toBe(5);
  });

  it("shows lines that the hub no longer has", () => {
    const log = new JobLog();
    log.add(lines(10, 12), 10);
    expect(seen(log)).toEqual(["0-10!", 10, 11]);
    expect(log.hole()).toBeNull();
  });

  it("fills a hole with fetched lines", () => {
    const log = new JobLog();
    log.add(lines(0, 2));
    log.add(lines(6, 8));
    expect(seen(log)).toEqual([0, 1, "2-6", 6, 7]);
    expect(log.hole()).toMatchObject({ from: 2, to: 6 });
    log.add(lines(2, 4));
    expect(seen(log)).toEqual([0, 1, 2, 3, "4-6", 6, 7]);
    log.lose(4, 6);
    expect(seen(log)).toEqual([0, 1, 2, 3, "4-6!", 6, 7]);
    expect(log.next.value).toBe(8);
  });

  it("fills holes in any order, each line once", () => {
    const log = new JobLog();
    log.add(lines(0, 1));
    log.add(lines(5, 6));
    log.add(lines(9, 10));
    log.add([...lines(8, 9), ...lines(2, 3), ...lines(0, 1)]);
    expect(seen(log)).toEqual([0, "1-2", 2, "3-5", 5, "6-8", 8, 9]);
    log.add(lines(1, 9));
    expect(seen(log)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(texts(log)[4]).toBe("line 4");
  });

  it("drops the oldest lines past its limit, and shows that", () => {
    const log = new JobLog(1000);
    log.add(lines(0, 1000));
    expect(log.length).toBe(1000);
    log.add(lines(1000, 1001));
    expect(log.length).toBe(900);
    expect(seen(log).slice(0, 2)).toEqual(["0-101<", 101]);
    expect(log.hole()).toBeNull();
  });

  it("starts over for a new run", () => {
    const log = new JobLog();
    log.add(lines(0, 5));
    log.reset();
    log.add(lines(0, 1));
    expect(seen(log)).toEqual([0]);
  });

  it("overwrites only a line that ended in a carriage return", () => {
    const log = new JobLog();
    log.add([line(0, "10 %\r"), line(1, "warning", 1), line(2, "50 %\r"), line(3, "100 %"), line(4, "done")]);
    expect(texts(log)).toEqual(["10 %\r", "warning", "100 %", "done"]);
    expect(log.next.value).toBe(5);
    log.add([line(5, "a\r")]);
    log.add([line(6, "b\r")]);
    expect(texts(log).at(-1)).toBe("b\r");
    expect(log.hole()).toBeNull();
  });

  it("begins a new line after an empty one that ended a line with a carriage return", () => {
    const log = new JobLog();
    log.add([line(0, "10 %\r"), line(1, ""), line(2, "next")]);
    expect(texts(log)).toEqual(["10 %\r", "next"]);
  });

  it("keeps what a job wrote to each stream, byte for byte: ends, colours, overwritten lines, and nothing of a build", () => {
    const log = new JobLog();
    log.add([
      [0, 1, 1, "Pulling layer abc", "pulling", 0],
      [1, 2, 1, "Step 1/2\r", "building", 2],
      [2, 3, 2, "started", "running", 0],
      [3, 4, 0, "10%\r", "running", 2],
      [4, 5, 0, "20%\r", "running", 2],
      [5, 6, 0, "", "running", 0],
      [6, 7, 0, "\u001b[31mred\u001b[0m", "running", 1],
      [7, 8, 0, "a\rb\r", "running", 2],
      [8, 9, 0, "cut in ", "running", 2],
      [9, 10, 1, "err", "running", 0],
      [10, 11, 0, "two, no newline at end", "running", 2],
    ]);
    expect([...log.written(0)]).toEqual([
      ["10%\r", 4],
      ["20%\r\n", 6],
      ["\u001b[31mred\u001b[0m\r\n", 7],
      ["a\rb\r", 8],
      ["cut in ", 9],
      ["two, no newline at end", 11],
    ]);
    expect([...log.written(1)]).toEqual([["err\n", 10]]);
    log.reset();
    expect([...log.written(0)]).toEqual([]);
  });

  it("keeps overwritten lines in their order also when lines before them come late", () => {
    const log = new JobLog();
    log.add([line(0, "a\r"), line(1, "b\r")]);
    log.add([line(4, "e\r"), line(5, "f")]);
    log.add([line(2, "c\r"), line(3, "d\r")]);
    expect([...log.written(0)].map(([text]) => text).join("")).toBe("a\rb\rc\rd\re\rf\n");
  });

  it("keeps overwritten lines only up to a bound, the newest of them", () => {
    const log = new JobLog();
    const count = 3 * OLD_LINES;
    log.add(Array.from({ length: count }, (_, n) => line(n, `${n}\r`)));
    const kept = [...log.written(0)];
    expect(log.length).toBe(1);
    expect(kept.length).toBeLessThanOrEqual(OLD_LINES + 1);
    expect(kept.length).toBeGreaterThan(OLD_LINES / 2);
    expect([kept[0]?.[0], kept.at(-1)?.[0]]).toEqual([`${count - kept.length}\r`, `${count - 1}\r`]);

    const long = "x".repeat(OLD_CHARACTERS / 16);
    log.add(Array.from({ length: 64 }, (_, n) => line(count + n, `${long}\r`)));
    expect([...log.written(0)].reduce((sum, [text]) => sum + text.length, 0)).toBeLessThanOrEqual(OLD_CHARACTERS + long.length + 1);
  });

  it("drops overwritten lines with the oldest lines", () => {
    const log = new JobLog(10);
    log.add([line(0, "a\r"), line(1, "b"), ...lines(2, 12)]);
    expect([...log.written(0)].map(([text]) => text)).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11].map((n) => `line ${n}\n`));
  });

  it("carries colours over the end of a line, separately for each stream", () => {
    const log = new JobLog();
    log.add([line(0, "\u001b[31mred"), line(1, "plain", 1), line(2, "still\u001b[0m"), line(3, "over")]);
    expect([0, 1, 2, 3].map((at) => log.line(at).style)).toEqual([{}, {}, { fg: 1 }, {}]);
  });
});

describe("terminal colours", () => {
  const look = (text: string) => spans(text, PLAIN).map(({ text: said, style }) => [said, style]);

  it("parses the 16 colours, the 256 colours and true colours", () => {
    expect(look("a\u001b[1;31mb\u001b[38;5;208mc\u001b[48;2;1;2;255md\u001b[0me\u001b[94mf")).toEqual([
      ["a", {}],
      ["b", { bold: true, fg: 1 }],
      ["c", { bold: true, fg: "#ff8700" }],
      ["d", { bold: true, fg: "#ff8700", bg: "#0102ff" }],
      ["e", {}],
      ["f", { fg: 12 }],
    ]);
    expect(look("\u001b[38;5;250mgrey")).toEqual([["grey", { fg: "#bcbcbc" }]]);
  });

  it("drops escapes that are not colours: cursor moves, titles, links", () => {
    expect(look("\u001b[2K\u001b]0;title\u0007a\u001b]8;;https://x\u001b\\b\r")).toEqual([
      ["a", {}],
      ["b", {}],
    ]);
    expect(styleAfter("\u001b[1mx\u001b[22;4m", PLAIN)).toEqual({ underline: true });
  });
});

describe("the layout of a log", () => {
  const open = () => false;
  const said = (layout: LogLayout, from: number, to: number) =>
    layout.window(from, to).rows.map((row) => (row.kind === "line" ? row.at : row.kind));

  it("draws only visible rows, also of a million lines", () => {
    const log = new JobLog();
    for (let n = 0; n < 100; n++) log.add(lines(n * 10_000, (n + 1) * 10_000));
    const layout = new LogLayout(log);
    layout.update(0, open);
    expect(layout.height).toBe(1_000_000 * LINE);
    expect(said(layout, 500_000 * LINE, 500_003 * LINE)).toEqual([500_000, 500_001, 500_002]);
    expect(layout.window(500_000 * LINE + 5, 500_001 * LINE).top).toBe(500_000 * LINE);
  });

  it("gives each phase a heading, and hides the lines of a folded one", () => {
    const log = new JobLog();
    log.add([...lines(0, 3, "pulling"), ...lines(3, 5)]);
    const layout = new LogLayout(log);
    layout.update(0, open);
    expect(said(layout, 0, 1000)).toEqual(["heading", 0, 1, 2, "heading", 3, 4]);
    layout.update(0, (group) => group.phase === "pulling");
    expect(said(layout, 0, 1000)).toEqual(["heading", "heading", 3, 4]);
    expect(layout.height).toBe(2 * HEADING + 2 * LINE);
    expect(layout.topOf(1)).toBeNull();
    expect(layout.topOf(4)).toBe(2 * HEADING + LINE);
    log.add(lines(5, 6));
    layout.update(0, open);
    expect(layout.groups.map(({ from, to }) => [from, to])).toEqual([
      [0, 3],
      [3, 6],
    ]);
  });

  it("shows holes at their position", () => {
    const log = new JobLog();
    log.add(lines(2, 4), 2);
    log.add(lines(8, 9));
    const layout = new LogLayout(log);
    layout.update(0, open);
    expect(said(layout, 0, 1000)).toEqual(["hole", 0, 1, "hole", 2]);
  });

  it("wraps lines at the available columns, and accepts corrections", () => {
    const log = new JobLog();
    log.add([line(0, "x".repeat(25)), line(1, "\u001b[31my\u001b[0m"), line(2, "z")]);
    const layout = new LogLayout(log);
    layout.update(10, open);
    expect(layout.height).toBe(5 * LINE);
    expect(said(layout, 2 * LINE, 4 * LINE)).toEqual([0, 1]);
    expect(layout.correct(1, 2 * LINE)).toBe(true);
    expect(layout.correct(1, 2 * LINE)).toBe(false);
    layout.update(10, open);
    expect(layout.topOf(2)).toBe(5 * LINE);
  });

  it("wraps between words, and inside a word that is too long", () => {
    expect(rowsOf("aaa bbb ccc", 7)).toBe(2);
    expect(rowsOf("aaa bbb ccc", 8)).toBe(2);
    expect(rowsOf("aaa bbbbbb ccc", 7)).toBe(3);
    expect(rowsOf("aaaaaaaaaaaaaaa b", 7)).toBe(3);
    expect(rowsOf("a                    b", 7)).toBe(2);
  });

  it("measures wide characters and tabs", () => {
    expect(columnsOf("a\tb")).toBe(9);
    expect(columnsOf("日本")).toBe(4);
    expect(columnsOf("\u001b[1mab\u001b[0m\r")).toBe(2);
  });
});

describe("a search in a log", () => {
  it("finds lines that are there and lines that arrive later", async () => {
    const log = new JobLog();
    log.add(lines(0, 50_000));
    const search = new LogSearch(log);
    search.look("LINE 4999");
    expect(search.busy.value).toBe(true);
    await expect.poll(() => search.busy.value).toBe(false);
    expect(search.found.value.length).toBe(11);
    log.add([line(50_000, "\u001b[32mline\u001b[0m 4999x")]);
    search.more();
    expect(search.found.value.length).toBe(12);
    search.look("");
    expect(search.found.value).toEqual([]);
  });
});
