/**
 * One websocket to a queue that comes back by itself.
 *
 * It says hello and resumes where it was, keeps the connection proved alive, matches answers to requests, and sends
 * all that one turn of the event loop says in one frame. What the messages mean is not known here.
 */

import { Backoff } from "./backoff";
import { decodeFrame, encodeFrame } from "./codec";
import { connectionLost, finalSentence, noAnswer, notConnected, RequestError } from "./errors";
import {
  type Answer,
  type Ask,
  type Incoming,
  type Outgoing,
  PROTOCOL_VERSION,
  type Push,
  type RequestType,
  type Resume,
  SUBPROTOCOL,
  type Welcome,
} from "./messages";

export type Status =
  /** `failures`: attempts in a row that have failed before this one. */
  | { kind: "connecting"; failures: number }
  | { kind: "open"; hub: string }
  /** Waiting to try again at `retryAt` (this machine's clock, ms) after `failures` attempts in a row. */
  | { kind: "waiting"; retryAt: number; failures: number }
  /** Given up: `why` says what a person can do. */
  | { kind: "closed"; why: string };

export interface ConnectionOptions {
  /** `wss://host/q/<queue>/client`. */
  url: string;
  agent: string;
  /** What is pushed: every change of the queue, or only those of jobs that are followed. */
  follow?: "queue" | "jobs";
  onStatus: (status: Status) => void;
  /** Called for each welcome, before any push that follows it. */
  onWelcome: (welcome: Welcome) => void;
  /** Called with what came in one frame, in order. */
  onPush: (pushes: Push[]) => void;
  /** An error that belongs to no request. */
  onError?: (error: RequestError) => void;
  socket?: (url: string, subprotocol: string) => WebSocket;
  backoff?: Backoff;
}

interface Waiting {
  resolve: (answer: never) => void;
  reject: (error: RequestError) => void;
  timer: ReturnType<typeof setTimeout>;
}

/** Milliseconds for a connection to reach its welcome. */
const OPENING_MS = 10_000;
/** Milliseconds that a request may take unless it says otherwise. */
const ANSWER_MS = 20_000;
const FRAME_MESSAGES = 500;
const OPEN = 1;

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #backoff: Backoff;
  readonly #waiting = new Map<number, Waiting>();
  #socket: WebSocket | null = null;
  #welcomed = false;
  #done = false;
  #resume: Resume | null = null;
  #outgoing: Outgoing[] = [];
  #flushing = false;
  #ref = 0;
  #heartbeat = 10_000;
  #heard = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff();
  }

  /** Starts to connect; from then on it stays connected until `close`. */
  open(): void {
    if (this.#socket !== null || this.#done) return;
    clearTimeout(this.#timer);
    this.#options.onStatus({ kind: "connecting", failures: this.#backoff.attempts });
    let socket: WebSocket;
    try {
      const make = this.#options.socket ?? ((url, subprotocol) => new WebSocket(url, subprotocol));
      socket = make(this.#options.url, SUBPROTOCOL);
    } catch {
      this.#giveUp("This URL does not belong to a hub. Check the link.");
      return;
    }
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#sayHello();
    socket.onmessage = (event) => this.#receive(socket, event.data);
    // An error is always followed by a close, which says all that there is to know.
    socket.onerror = () => undefined;
    socket.onclose = (event) => this.#lost(socket, event.code);
    this.#timer = setTimeout(() => this.#drop(socket), OPENING_MS);
  }

  /** Ends it for good. */
  close(): void {
    this.#done = true;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.#welcomed = false;
    this.#rejectAll();
    socket?.close(1000);
  }

  /** Looks at once whether the hub is there: after sleep, when the network is back, when a person asks. */
  nudge(): void {
    if (this.#done) return;
    if (this.#socket === null) this.open();
    else if (this.#welcomed) {
      this.#post({ type: "ping", ref: 0 });
      this.#expect(this.#socket, 4000);
    }
  }

  /**
   * Asks the hub something.
   *
   * @param deadline milliseconds to wait for the answer.
   * @throws {RequestError} it was refused, not answered in time, or the connection is not there.
   */
  request<T extends RequestType>(type: T, ask: Ask<T>, deadline: number = ANSWER_MS): Promise<Answer<T>> {
    if (!this.#welcomed) return Promise.reject(notConnected());
    this.#ref += 1;
    const ref = this.#ref;
    return new Promise<Answer<T>>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(ref);
        reject(noAnswer(Math.round(deadline / 1000)));
      }, deadline);
      this.#waiting.set(ref, { resolve, reject, timer });
      this.#post({ ...ask, type, ref } as unknown as Outgoing);
    });
  }

  #sayHello(): void {
    const resume = this.#resume;
    const hello: Outgoing = {
      type: "hello",
      protocol: PROTOCOL_VERSION,
      agent: this.#options.agent,
      follow: this.#options.follow ?? "queue",
      ...(resume === null ? {} : { resume }),
    };
    this.#socket?.send(encodeFrame([hello]));
  }

  #post(message: Outgoing): void {
    this.#outgoing.push(message);
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    const messages = this.#outgoing;
    this.#outgoing = [];
    const socket = this.#socket;
    if (socket === null || socket.readyState !== OPEN) return;
    for (let at = 0; at < messages.length; at += FRAME_MESSAGES) {
      socket.send(encodeFrame(messages.slice(at, at + FRAME_MESSAGES)));
    }
  }

  #receive(socket: WebSocket, data: unknown): void {
    if (socket !== this.#socket) return;
    this.#heard = Date.now();
    let messages: Incoming[];
    try {
      messages = decodeFrame(data as ArrayBuffer);
    } catch {
      this.#giveUp("What answers at this address does not speak Asman's protocol. Check the link.");
      return;
    }
    let pushes: Push[] = [];
    for (const message of messages) {
      switch (message.type) {
        case "welcome":
          this.#welcome(socket, message);
          break;
        case "changed":
        case "worker_changed":
          if (this.#resume !== null) this.#resume.seq = Math.max(this.#resume.seq, message.seq);
          pushes.push(message);
          break;
        case "counts":
        case "progress":
        case "log":
          pushes.push(message);
          break;
        case "ping":
          this.#post({ type: "pong", ref: message.ref ?? 0 });
          break;
        case "pong":
          break;
        case "error":
          this.#refused(message);
          break;
        default: {
          // The promise of an answer resolves in a later microtask, so what was pushed before it goes first.
          const waiting = this.#take(message.ref);
          if (waiting === undefined) break;
          if (pushes.length > 0) this.#options.onPush(pushes);
          pushes = [];
          waiting.resolve(message as never);
        }
      }
    }
    if (pushes.length > 0) this.#options.onPush(pushes);
  }

  #welcome(socket: WebSocket, welcome: Welcome): void {
    if (welcome.protocol !== PROTOCOL_VERSION) {
      this.#giveUp("This page and the hub have different versions. Reload the page.");
      return;
    }
    this.#backoff.succeeded();
    this.#heartbeat = welcome.heartbeat ?? 10_000;
    // What was missed follows with its own seqs; until it came, a resume starts from where we really are.
    const seen = this.#resume;
    this.#resume =
      welcome.recovered === true && seen !== null && seen.epoch === welcome.epoch
        ? seen
        : { epoch: welcome.epoch, seq: welcome.seq };
    this.#welcomed = true;
    this.#options.onStatus({ kind: "open", hub: welcome.hub });
    this.#options.onWelcome(welcome);
    this.#beat(socket);
  }

  /** Says something each heartbeat, and expects to hear something by the next one but one. */
  #beat(socket: WebSocket): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (socket !== this.#socket) return;
      if (Date.now() - this.#heard > this.#heartbeat * 2.5) {
        this.#drop(socket);
        return;
      }
      this.#post({ type: "ping", ref: 0 });
      this.#beat(socket);
    }, this.#heartbeat * 0.9);
  }

  #expect(socket: WebSocket, within: number): void {
    const asked = Date.now();
    setTimeout(() => {
      if (socket === this.#socket && this.#heard < asked) this.#drop(socket);
    }, within);
  }

  #refused(message: { code: string; message: string; ref?: number | null; field?: string | null; retry?: boolean }): void {
    const error = new RequestError(message.code, message.message, message.field ?? null, message.retry ?? false);
    const waiting = this.#take(message.ref ?? undefined);
    if (waiting !== undefined) waiting.reject(error);
    else this.#options.onError?.(error);
  }

  #take(ref: number | undefined): Waiting | undefined {
    const waiting = ref === undefined ? undefined : this.#waiting.get(ref);
    if (waiting === undefined || ref === undefined) return undefined;
    this.#waiting.delete(ref);
    clearTimeout(waiting.timer);
    return waiting;
  }

  /** Leaves a socket that is silent, without waiting for its closing handshake. */
  #drop(socket: WebSocket): void {
    if (socket !== this.#socket) return;
    socket.onclose = null;
    socket.onmessage = null;
    socket.close();
    this.#lost(socket, 1006);
  }

  #lost(socket: WebSocket, code: number): void {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#welcomed = false;
    clearTimeout(this.#timer);
    this.#rejectAll();
    const why = finalSentence(code);
    if (why !== undefined) {
      this.#giveUp(why);
      return;
    }
    const wait = this.#backoff.next();
    this.#options.onStatus({ kind: "waiting", retryAt: Date.now() + wait, failures: this.#backoff.attempts });
    this.#timer = setTimeout(() => this.open(), wait);
  }

  #giveUp(why: string): void {
    this.close();
    this.#options.onStatus({ kind: "closed", why });
  }

  #rejectAll(): void {
    this.#outgoing = [];
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const waiting of all) {
      clearTimeout(waiting.timer);
      waiting.reject(connectionLost());
    }
  }
}
