import { describe, expect, it } from "vitest";
import { connectionLost, notConnected } from "../src/protocol/errors";
import { Problem } from "../src/state/problem";

describe("a problem", () => {
  it("that nothing was sent is gone when the connection is back, and any other stays", () => {
    const problem = new Problem();
    problem.tell(notConnected(), "1 job could not be run: ");
    expect(problem.words.value).toMatch(/^1 job could not be run: The page is not connected/);
    problem.connected();
    expect(problem.words.value).toBeNull();
    for (const error of [connectionLost(), new Error("refused")]) {
      problem.tell(error);
      problem.connected();
      expect(problem.words.value).not.toBeNull();
    }
    problem.tell(notConnected());
    problem.say("Enter a command.");
    problem.connected();
    expect(problem.words.value).toBe("Enter a command.");
  });
});
