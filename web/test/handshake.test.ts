import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { askUntilAnswered } from "../src/metaframe/handshake";

describe("the request to a parent page", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const asked = () => {
    const began = Date.now();
    const frame = { connected: false, times: [] as number[] };
    const end = askUntilAnswered({
      isConnected: () => frame.connected,
      ask: () => void frame.times.push(Date.now() - began),
    });
    return { frame, end };
  };

  it("is repeated with pauses from 200 ms to 5 s until it is answered", () => {
    const { frame } = asked();
    vi.advanceTimersByTime(16_200);
    expect(frame.times).toEqual([200, 600, 1400, 3000, 6200, 11_200, 16_200]);
    frame.connected = true;
    vi.advanceTimersByTime(60_000);
    expect(frame.times).toHaveLength(7);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("ends with the page", () => {
    const { frame, end } = asked();
    vi.advanceTimersByTime(200);
    end();
    vi.advanceTimersByTime(60_000);
    expect(frame.times).toEqual([200]);
  });
});
