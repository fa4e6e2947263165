/**
 * A websocket connection to a queue that reconnects by itself.
 *
 * The connection says hello and resumes from the last change it saw, detects a silent hub by heartbeats, matches
 * answers to requests, and sends all messages of one turn of the event loop in one frame. It does not interpret
 * messages.
 */

import { Backoff } from "./backoff";
import { decodeFrame, encodeFrame } from "./codec";
import { connectionLost, finalSentence, noAnswer, notConnected, RequestError } from "./errors";
import {
  type Answer,
  type Ask,
  type ErrorMessage,
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
  /** `failures`: number of failed attempts in a row before this one. */
  | { kind: "connecting"; failures: number }
  | { kind: "open"; hub: string }
  /** Waiting to reconnect at `retryAt`, in milliseconds of this machine's clock, after `failures` attempts in a row. */
  | { kind: "waiting"; retryAt: number; failures: number }
  /** Closed for good; `why` is a sentence that says what a person can do. */
  | { kind: "closed"; why: string; code?: number };

export interface ConnectionOptions {
  /** `wss://host/q/<queue>/client`. */
  url: string;
  agent: string;
  /** The changes that the hub pushes: all of the queue, or only those of followed jobs. */
  follow?: "queue" | "jobs";
  onStatus: (status: Status) => void;
  /** Called for each welcome, before any push that follows it. */
  onWelcome: (welcome: Welcome) => void;
  /** Called with the pushes of one frame, in order. */
  onPush: (pushes: Push[]) => void;
  /** Called with an error that belongs to no request. */
  onError?: (error: RequestError) => void;
  /** Called when a request waits for a limit of the hub, until a time of this machine's clock in milliseconds. */
  onLimited?: (why: string, until: number) => void;
  socket?: (url: string, subprotocol: string) => WebSocket;
  backoff?: Backoff;
  /** Longest time for which a request waits for limits of the hub, in milliseconds. */
  patience?: number;
}

interface Waiting {
  message: Outgoing;
  resolve: (answer: never) => void;
  reject: (error: RequestError) => void;
  timer: ReturnType<typeof setTimeout>;
  deadline: number;
  /** The limit of the hub that the request waits for, and since when. */
  limited: { error: RequestError; since: number } | null;
}

/** Longest time from the start of a connection to its welcome, in milliseconds. */
const OPENING_MS = 10_000;
/** Default time limit of a request, in milliseconds. */
const ANSWER_MS = 20_000;
/** Longest wait before a request is made again, in milliseconds. */
const LONGEST_MS = 60_000;
/** Longest time for which a request is made again, in milliseconds; the library and the command line wait as long. */
const PATIENCE_MS = 300_000;
/** Most messages in one frame. */
const FRAME_MESSAGES = 500;
/** The `readyState` of an open socket. */
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

  /** Connects, and reconnects after every loss until `close`. */
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
    // Every error event is followed by a close event, which has all the information.
    socket.onerror = () => undefined;
    socket.onclose = (event) => this.#lost(socket, event.code);
    this.#timer = setTimeout(() => this.#drop(socket), OPENING_MS);
  }

  /** Closes the connection for good. */
  close(): void {
    this.#done = true;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.#welcomed = false;
    this.#rejectAll();
    socket?.close(1000);
  }

  /** Checks the connection now: after sleep, when the network is back, or when a person asks. */
  nudge(): void {
    if (this.#done) return;
    if (this.#socket === null) this.open();
    else if (this.#welcomed) {
      this.#post({ type: "ping", ref: 0 });
      this.#expect(this.#socket, 4000);
    }
  }

  /**
   * Sends a request to the hub and waits for the answer.
   *
   * @param deadline Longest wait for the answer, in milliseconds.
   * @throws {RequestError} The hub refused the request, did not answer in time, or is not connected.
   */
  request<T extends RequestType>(type: T, ask: Ask<T>, deadline: number = ANSWER_MS): Promise<Answer<T>> {
    if (!this.#welcomed) return Promise.reject(notConnected());
    this.#ref += 1;
    const ref = this.#ref;
    return new Promise<Answer<T>>((resolve, reject) => {
      const message = { ...ask, type, ref } as unknown as Outgoing;
      const timer = this.#deadline(ref, deadline);
      this.#waiting.set(ref, { message, resolve, reject, timer, deadline, limited: null });
      this.#post(message);
    });
  }

  #deadline(ref: number, within: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => this.#take(ref)?.reject(noAnswer(Math.round(within / 1000))), within);
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
          // The promise of an answer resolves in a later microtask; earlier pushes must be handed over first.
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
    // Missed changes follow with their own seqs. Until they arrive, a resume must start from the last change seen.
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

  /** Sends a ping every heartbeat, and drops the connection after 2.5 heartbeats without a message. */
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

  #refused(message: ErrorMessage): void {
    if (message.code === "overloaded" && this.#again(message)) return;
    const error = new RequestError(message.code, message.message, message.field ?? null, message.retry ?? false);
    const waiting = this.#take(message.ref ?? undefined);
    if (waiting !== undefined) waiting.reject(error);
    else this.#options.onError?.(error);
  }

  /** Sends a request again when the hub takes it, if the hub says when that will be. */
  #again(message: ErrorMessage): boolean {
    const waiting = this.#waiting.get(message.ref ?? -1);
    if (waiting === undefined || !message.retry_after) return false;
    const since = waiting.limited?.since ?? Date.now();
    const left = since + (this.#options.patience ?? PATIENCE_MS) - Date.now();
    if (left <= 0) return false;
    clearTimeout(waiting.timer);
    const ref = message.ref as number;
    waiting.limited = { error: new RequestError(message.code, message.message, message.field ?? null, true), since };
    const wait = Math.min(message.retry_after, LONGEST_MS, left);
    waiting.timer = setTimeout(() => this.#ask(ref, waiting), wait);
    this.#options.onLimited?.(message.message.split("; try again")[0] as string, Date.now() + wait);
    return true;
  }

  #ask(ref: number, waiting: Waiting): void {
    clearTimeout(waiting.timer);
    waiting.timer = this.#deadline(ref, waiting.deadline);
    this.#post(waiting.message);
  }

  /** Makes the requests that wait for a limit of the hub again now. */
  askNow(): void {
    for (const [ref, waiting] of this.#waiting) if (waiting.limited !== null) this.#ask(ref, waiting);
  }

  /** Ends the requests that wait for a limit of the hub, each with the hub's refusal. */
  stopAsking(): void {
    for (const [ref, waiting] of [...this.#waiting]) if (waiting.limited !== null) this.#take(ref)?.reject(waiting.limited.error);
  }

  #take(ref: number | undefined): Waiting | undefined {
    const waiting = ref === undefined ? undefined : this.#waiting.get(ref);
    if (waiting === undefined || ref === undefined) return undefined;
    this.#waiting.delete(ref);
    clearTimeout(waiting.timer);
    return waiting;
  }

  /** Abandons a silent socket without waiting for its closing handshake. */
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
      this.#giveUp(why, code);
      return;
    }
    const wait = this.#backoff.next();
    this.#options.onStatus({ kind: "waiting", retryAt: Date.now() + wait, failures: this.#backoff.attempts });
    this.#timer = setTimeout(() => this.open(), wait);
  }

  #giveUp(why: string, code?: number): void {
    this.close();
    this.#options.onStatus({ kind: "closed", why, ...(code === undefined ? {} : { code }) });
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
