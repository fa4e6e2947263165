/**
 * A small fake hub: it speaks the protocol with pages, from a list of jobs that a test changes.
 */

import { decode, encode } from "@msgpack/msgpack";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

/**
 * @typedef {Record<string, any>} Message
 * @typedef {{ job: Message, definition: Message, result?: Message | undefined, lines: any[][] }} Entry
 * @typedef {{ socket: import("ws").WebSocket, follows: Set<string>, hello: Message, received: Message[] }} Peer
 */

export class FakeHub {
  constructor() {
    /** @type {Map<string, Entry>} */
    this.jobs = new Map();
    /** @type {Map<string, Message>} */
    this.workers = new Map();
    /** @type {Set<Peer>} */
    this.peers = new Set();
    /** @type {Message[]} all pushes so far, the newest last */
    this.history = [];
    this.seq = 0;
    this.epoch = "epoch-1";
    this.heartbeat = 10_000;
    /** Number of the newest pushes that a reconnecting page can still receive. */
    this.window = 1000;
    /** @type {((definition: Message) => string) | null} computes a definition's id; ids are counted up when null */
    this.idOf = null;
    /** @type {Message[]} problems that validation finds */
    this.problems = [];
    /** @type {Message | null} error that refuses submissions */
    this.refusal = null;
    /** Whether connections are closed at once. */
    this.refusing = false;
    this.defaultImage = "";
    this.server = createServer((_request, response) => response.writeHead(404).end());
    this.sockets = new WebSocketServer({ server: this.server, handleProtocols: () => "asman.v1.msgpack" });
    this.sockets.on("connection", (socket, request) => this.accept(socket, request.url ?? ""));
  }

  /** @param {number} port */
  async listen(port = 0) {
    await new Promise((resolve) => this.server.listen(port, "127.0.0.1", () => resolve(undefined)));
    const address = this.server.address();
    this.port = typeof address === "object" && address !== null ? address.port : port;
    return this.port;
  }

  get url() {
    return `ws://127.0.0.1:${this.port}/q/test/client`;
  }

  async close() {
    this.drop();
    await new Promise((resolve) => this.sockets.close(resolve));
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** Drops every connection, like a broken network. */
  drop() {
    for (const peer of this.peers) peer.socket.terminate();
    this.peers.clear();
  }

  /** @param {import("ws").WebSocket} socket @param {string} url */
  accept(socket, url) {
    if (!/^\/q\/[A-Za-z0-9._-]{1,128}\/client$/.test(url)) {
      socket.close(4008);
      return;
    }
    if (this.refusing) {
      socket.terminate();
      return;
    }
    /** @type {Peer} */
    const peer = { socket, follows: new Set(), hello: {}, received: [] };
    this.peers.add(peer);
    socket.on("message", (data) => {
      const messages = /** @type {Message[]} */ (decode(/** @type {Buffer} */ (data)));
      for (const message of messages) {
        peer.received.push(message);
        this.answer(peer, message);
      }
    });
    socket.on("close", () => this.peers.delete(peer));
  }

  counts() {
    const all = [...this.jobs.values()].map((entry) => entry.job["state"]);
    const of = (/** @type {string} */ state) => all.filter((other) => other === state).length;
    return { queued: of("Queued"), running: of("Running"), finished: of("Finished"), workers: this.workers.size };
  }

  /** @param {Peer} peer @param {Message[]} messages */
  send(peer, ...messages) {
    if (messages.length > 0) peer.socket.send(encode(messages, { ignoreUndefined: true }));
  }

  /** @param {Peer} peer @param {Message} message */
  answer(peer, message) {
    const { ref } = message;
    const entry = this.jobs.get(message["job"]);
    switch (message["type"]) {
      case "hello": {
        peer.hello = message;
        const resume = message["resume"];
        const missed = this.history.filter((push) => resume && push["seq"] > resume.seq);
        const recovered = resume?.epoch === this.epoch && this.seq - resume.seq <= this.window;
        this.send(
          peer,
          {
            type: "welcome",
            protocol: 1,
            hub: "fake/1",
            epoch: this.epoch,
            seq: this.seq,
            time: Date.now(),
            heartbeat: this.heartbeat,
            recovered,
            default_image: this.defaultImage,
            counts: this.counts(),
          },
          ...(recovered ? missed : []),
        );
        break;
      }
      case "ping":
        this.send(peer, { type: "pong", ref });
        break;
      case "pong":
        break;
      case "list": {
        const all = [...this.jobs.values()].map((e) => e.job).sort((a, b) => b["queued"] - a["queued"]);
        const older = all.filter((job) => message["before"] === undefined || job["queued"] < message["before"]);
        const page = older.slice(0, message["limit"]);
        const next = older.length > page.length ? page.at(-1)?.["queued"] : undefined;
        this.send(peer, { type: "jobs", ref, jobs: page, next, counts: this.counts() });
        break;
      }
      case "workers":
        this.send(peer, { type: "worker_list", ref, workers: [...this.workers.values()] });
        break;
      case "get":
        if (entry === undefined) this.refuse(peer, ref);
        else this.send(peer, { type: "job", ref, job: entry.job, definition: entry.definition, result: entry.result });
        break;
      case "follow": {
        if (entry === undefined) {
          this.refuse(peer, ref);
          break;
        }
        peer.follows.add(message["job"]);
        const lines = entry.lines.filter((line) => line[0] >= (message["since"] ?? 0));
        this.send(peer, { type: "following", ref, active: true, job: entry.job });
        if (lines.length > 0) this.send(peer, { type: "log", job: message["job"], lines });
        break;
      }
      case "unfollow":
        peer.follows.delete(message["job"]);
        this.send(peer, { type: "following", ref, active: false });
        break;
      case "read_log": {
        const since = message["since"] ?? 0;
        const lines = (entry?.lines ?? []).filter((line) => line[0] >= since).slice(0, message["limit"]);
        this.send(peer, { type: "log_page", ref, lines, next: lines.length > 0 ? (lines.at(-1)?.[0] ?? 0) + 1 : since });
        break;
      }
      case "submit": {
        const { definition } = message;
        const id = this.idOf === null ? String(this.jobs.size + 1).padStart(64, "0") : this.idOf(definition);
        if (this.refusal !== null) {
          this.send(peer, { type: "error", ref, ...this.refusal });
          break;
        }
        const summary = { image: definition.image ?? "", command: definition.command ?? "" };
        const job = { id, rev: 1, state: "Queued", queued: Date.now(), summary };
        this.jobs.set(id, { job, definition, lines: [] });
        this.push({ type: "changed", job });
        this.send(peer, { type: "accepted", ref, answer: "queued", job, able: this.workers.size });
        break;
      }
      case "validate":
        this.send(peer, { type: "validated", ref, id: "", ok: this.problems.length === 0, problems: this.problems });
        break;
      case "cancel":
        if (entry === undefined) this.refuse(peer, ref);
        else {
          this.change(entry.job["id"], {
            state: "Finished",
            phase: undefined,
            finished: Date.now(),
            verdict: { ok: false, reason: "Cancelled", message: "Cancelled by a client." },
          });
          this.send(peer, { type: "cancelled", ref, released: true, job: this.jobs.get(message["job"])?.job });
        }
        break;
      default:
        this.send(peer, { type: "error", code: "bad_request", message: `no such message: ${message["type"]}`, ref });
    }
  }

  /** @param {Peer} peer @param {number} ref */
  refuse(peer, ref) {
    this.send(peer, { type: "error", code: "not_found", message: "no such job", ref });
  }

  /** Pushes a change to everyone. @param {Message} push */
  push(push) {
    if (push["type"] !== "log" && push["type"] !== "counts") {
      this.seq += 1;
      push = { ...push, seq: this.seq };
      this.history.push(push);
    }
    for (const peer of this.peers) {
      if ((push["type"] === "log" || push["type"] === "progress") && !peer.follows.has(push["job"])) continue;
      this.send(peer, push);
    }
  }

  /** Adds a job and pushes it. @param {Message} job @param {Message} definition */
  add(job, definition = {}) {
    this.jobs.set(job["id"], { job, definition, lines: [] });
    this.push({ type: "changed", job });
    this.push({ type: "counts", counts: this.counts() });
  }

  /** Changes a job and pushes it, without its summary. @param {string} id @param {Message} fields @param {Message} [result] */
  change(id, fields, result) {
    const entry = this.jobs.get(id);
    if (entry === undefined) throw new Error(`no job ${id}`);
    entry.job = { ...entry.job, ...fields, rev: entry.job["rev"] + 1 };
    if (result !== undefined) entry.result = result;
    this.push({ type: "changed", job: { ...entry.job, summary: undefined } });
    this.push({ type: "counts", counts: this.counts() });
  }

  /** Adds a log line and pushes it to followers. @param {string} id @param {string} text */
  log(id, text, stream = 0, phase = "running") {
    const entry = this.jobs.get(id);
    if (entry === undefined) throw new Error(`no job ${id}`);
    const line = [(entry.lines.at(-1)?.[0] ?? -1) + 1, Date.now(), stream, text, phase];
    entry.lines.push(line);
    this.push({ type: "log", job: id, lines: [line] });
  }

  /** @param {Message} worker */
  worker(worker) {
    if (worker["state"] === "gone") this.workers.delete(worker["id"]);
    else this.workers.set(worker["id"], worker);
    this.push({ type: "worker_changed", worker });
    this.push({ type: "counts", counts: this.counts() });
  }
}
