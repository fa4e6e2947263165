import { describe, expect, it } from "vitest";
import { Typed } from "../src/text/typed";

describe("an editor's text", () => {
  it("is not replaced by what was typed before, however late it comes back", () => {
    const typed = new Typed("");
    for (const text of ["m", "my", "my ", "my t"]) typed.wrote(text, 0);
    expect(typed.isNews("m", 10)).toBe(false);
    // A text in between may never come back.
    expect(typed.isNews("my ", 20)).toBe(false);
    typed.wrote("my te", 30);
    expect(typed.isNews("my t", 40)).toBe(false);
    expect(typed.isNews("my te", 50)).toBe(false);
  });

  it("is not replaced when a letter was typed, taken back and typed again", () => {
    const typed = new Typed("");
    for (const text of ["a", "", "a"]) typed.wrote(text, 0);
    for (const text of ["a", "", "a"]) expect(typed.isNews(text, 10)).toBe(false);
  });

  it("is replaced by what is undone, and by what came from elsewhere", () => {
    const typed = new Typed("one");
    typed.wrote("one two", 0);
    expect(typed.isNews("one two", 1)).toBe(false);
    expect(typed.isNews("one", 2)).toBe(true);
    expect(typed.isNews("one two", 3)).toBe(true);
    typed.wrote("refused", 10);
    expect(typed.isNews("one two", 5000)).toBe(true);
    expect(typed.isNews("refused", 5001)).toBe(true);
  });
});
