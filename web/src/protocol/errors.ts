/** Errors of requests and connections, each with a sentence for a person. */

/** A request that the hub refused or did not answer. */
export class RequestError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly field: string | null = null,
    /** Whether the same request may succeed later. */
    readonly retry: boolean = false,
  ) {
    super(message);
    this.name = "RequestError";
  }
}

/** A request that was not sent, so that nothing can have come of it. */
export class NotSent extends RequestError {}

export const notConnected = () =>
  new NotSent(
    "connection_failed",
    "The page is not connected to the hub, so nothing was sent. Try again when the connection is back.",
    null,
    true,
  );

export const connectionLost = () =>
  new RequestError(
    "connection_failed",
    "The connection broke before the hub answered, so the request may or may not have been carried out. Check the job's state before you try again.",
    null,
    true,
  );

export const noAnswer = (seconds: number) =>
  new RequestError("timed_out", `The hub did not answer within ${seconds} seconds. Try again.`, null, true);

/** The close code for a link that lets neither see a queue nor run jobs in it: only a worker can use it. */
export const FOR_WORKERS = 4007;

/** Close codes after which reconnecting can't help, each with a remedy. */
const FINAL: Readonly<Record<number, string>> = {
  4000: "This page and the hub use different protocols. Reload the page. If that does not help, update the hub.",
  4001: "This page and the hub have different versions. Reload the page.",
  [FOR_WORKERS]: "This link is for a worker: it shows nothing in a browser. To watch or use the queue, ask for another link.",
  4008: "This is not a queue name. A queue name has 1 to 128 letters, digits, dots, “_” or “-”. Check the link.",
  4009: "The hub knows no queue with the key of this link: the link is damaged, or nobody has used the queue yet. Check the link.",
  4012: "The queue's owner has deleted this queue with everything in it.",
};

/** The sentence for a final close code; undefined when reconnecting may help. */
export function finalSentence(code: number): string | undefined {
  return FINAL[code];
}

/** The sentence for any thrown value. */
export function sentence(error: unknown): string {
  if (error instanceof RequestError && error.field !== null) return `${capital(error.message)} (${error.field})`;
  return error instanceof Error ? capital(error.message) : "Something went wrong. Reload the page and try again.";
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
