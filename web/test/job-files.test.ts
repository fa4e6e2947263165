import { expect, it } from "vitest";
import { WebSocket as NodeSocket } from "ws";
import { Backoff } from "../src/protocol/backoff";
import { JobEditor } from "../src/state/job-editor";
import { JobFiles, TEXT_BYTES } from "../src/state/job-files";
import { Session } from "../src/state/session";

it("a text that became short again is not replaced by the long one, whose upload was on its way", () => {
  const session = new Session({
    url: "ws://127.0.0.1:9/q/x/client",
    socket: (url, subprotocol) => new NodeSocket(url, subprotocol) as unknown as WebSocket,
    backoff: new Backoff({ first: 5, most: 10 }),
  });
  const editor = new JobEditor({ session, write: () => undefined });
  const files = new JobFiles(editor, session, "http://127.0.0.1:9");
  files.putText("a", "x".repeat(TEXT_BYTES + 1));
  files.putText("b", "y".repeat(TEXT_BYTES + 1));
  const [long] = files.uploads.value;
  files.putText("a", "short");
  expect(long?.stop.signal.aborted).toBe(true);
  expect(files.uploads.value.map(({ name }) => name)).toEqual(["b"]);
  expect(editor.uploading.value).toBe(1);
  expect(editor.draft().files).toEqual({ a: "short" });
  for (const one of files.uploads.value) files.cancel(one);
});
