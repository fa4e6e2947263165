/** The address in the command that adds a worker. */

import { describe, expect, it } from "vitest";
import { workerPlace } from "../src/state/worker-hub";

const at = (hub: string, name = "q") => ({ hub, name });

describe("the command of a worker", () => {
  it("names the host under which the page is open", () => {
    expect(workerPlace(at("http://vm:8000"), null, "http://vm:8000")).toEqual({ queue: at("http://vm:8000"), hereAlone: false });
  });

  it("names the address that the hub tells, with its path", () => {
    for (const own of ["http://127.0.0.1:8000", "http://vm:8000"]) {
      expect(workerPlace(at(own), "https://hub.example/asman", own)).toEqual({ queue: at("https://hub.example/asman"), hereAlone: false });
    }
  });

  it("says that an address of this machine is good here alone", () => {
    for (const own of ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000/path"]) {
      expect(workerPlace(at(own), null, own)).toEqual({ queue: at(own), hereAlone: true });
    }
  });

  it("keeps the address of another hub, and of the queue that only its own machine knows", () => {
    const other = at("https://other.example");
    expect(workerPlace(other, "https://hub.example", "http://127.0.0.1:8000")).toEqual({ queue: other, hereAlone: false });
    const local = at("http://127.0.0.1:8000", "local");
    expect(workerPlace(local, "https://hub.example", "http://127.0.0.1:8000")).toEqual({ queue: local, hereAlone: true });
  });
});
