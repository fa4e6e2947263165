/** Imports between the folders of `src` point one way. */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const SRC = fileURLToPath(new URL("../src", import.meta.url));

/** The folders and modules of `src`, lowest first: each may import only those before it. */
const LAYERS = ["protocol", "job", "route", "log", "state", "text", "files", "extra", "metaframe", "ui", "app", "main"];

/** Imports of one module by another, as paths below `src`. */
function imports(): [from: string, to: string][] {
  const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((name) => /\.tsx?$/.test(name));
  return files.flatMap((file) => {
    const found = readFileSync(join(SRC, file), "utf8").matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g);
    return [...found].map(([, to]) => [file, relative(SRC, join(SRC, dirname(file), to ?? ""))] as [string, string]);
  });
}

function layerOf(path: string): number {
  return LAYERS.indexOf((path.split("/")[0] ?? "").replace(/\.tsx?$/, ""));
}

function upward(arrows: readonly (readonly [from: string, to: string])[]): string[] {
  return arrows.filter(([from, to]) => layerOf(to) > layerOf(from) || layerOf(to) < 0).map(([from, to]) => `${from} -> ${to}`);
}

describe("the layers of the page", () => {
  it("import downwards only", () => {
    const found = imports();
    expect(found.length).toBeGreaterThan(150);
    expect(upward(found)).toEqual([]);
  });

  it("would notice an import of a higher layer or of a folder that has none", () => {
    expect(upward([["extra/zip.ts", "ui/copy"], ["ui/copy.tsx", "extra/zip"], ["ui/a.tsx", "new/b"]])).toEqual([
      "extra/zip.ts -> ui/copy",
      "ui/a.tsx -> new/b",
    ]);
  });
});
