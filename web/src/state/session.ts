/**
 * What a page does with one queue: it holds the connection, fills the store, and follows the job that is open.
 */

import { batch, type Signal, signal } from "@preact/signals";
import { Connection, type ConnectionOptions, type Status } from "../protocol/connection";
import { RequestError, sentence } from "../protocol/errors";
import type { Answer, Definition, JobState, Push, Result, Welcome } from "../protocol/messages";
import { setHubTime } from "./clock";
import { FrameQueue, type Schedule } from "./frame";
import { type Job, summaryOf } from "./job";
import { JobLog } from "./log";
import { QueueStore } from "./queue";

export interface OpenJob {
  readonly id: string;
  readonly job: Signal<Job | null>;
  readonly definition: Signal<Definition | null>;
  readonly result: Signal<Result | null>;
  readonly log: JobLog;
  /** Why the job can't be shown; null when it can. */
  readonly problem: Signal<string | null>;
  /** The `queued` time of the run whose log is held. */
  run: number | null;
  /** The end of the log was asked for, and the hub has no more of it. */
  endAsked: boolean;
}

export interface SessionOptions {
  url: string;
  socket?: ConnectionOptions["socket"];
  backoff?: ConnectionOptions["backoff"];
  schedule?: Schedule;
}

const PAGE = 100;
const LOG_PAGE = 500;
/** Milliseconds without a line after which the end of a finished job's log is asked for. */
const END_MS = 1000;

export class Session {
  readonly store = new QueueStore();
  readonly status: Signal<Status> = signal({ kind: "connecting", failures: 0 });
  /** What the hub said that belongs to no request, or why the lists can't be loaded. */
  readonly problem: Signal<string | null> = signal(null);
  readonly opened: Signal<OpenJob | null> = signal(null);

  readonly #connection: Connection;
  readonly #frames: FrameQueue<Push>;
  /** Counts welcomes: an answer that belongs to an earlier connection is dropped. */
  #life = 0;
  #repairing = false;
  readonly #asked = new Set<string>();

  constructor(options: SessionOptions) {
    this.#frames = new FrameQueue((pushes) => this.#apply(pushes), options.schedule);
    this.#connection = new Connection({
      url: options.url,
      agent: "asman-page/0.1",
      onStatus: (status) => {
        this.status.value = status;
      },
      onWelcome: (welcome) => void this.#welcome(welcome),
      onPush: (pushes) => this.#frames.push(pushes),
      onError: (error) => {
        this.problem.value = sentence(error);
      },
      ...(options.socket === undefined ? {} : { socket: options.socket }),
      ...(options.backoff === undefined ? {} : { backoff: options.backoff }),
    });
  }

  start(): void {
    this.#connection.open();
  }

  stop(): void {
    this.#connection.close();
  }

  /** Tries again now. */
  nudge(): void {
    this.#connection.nudge();
  }

  /** Loads the next older page of jobs. */
  async loadMore(): Promise<void> {
    for (;;) {
      const before = this.store.next.value;
      const page = await this.#connection.request("list", { limit: PAGE, ...(before === null ? {} : { before }) });
      this.#frames.flush();
      const added = this.store.addPage(page.jobs, page.next ?? null);
      if (added > 0 || this.store.next.value === null) return;
    }
  }

  async submit(definition: Definition, again = false): Promise<Answer<"submit">> {
    const answer = await this.#connection.request("submit", { definition, reuse: again ? "never" : "cached", follow: false });
    this.#frames.flush();
    this.store.apply([{ type: "changed", seq: 0, job: answer.job }]);
    return answer;
  }

  /** Stops a job for everyone who holds it; whether there was anything to stop. */
  async cancel(id: string): Promise<boolean> {
    const answer = await this.#connection.request("cancel", { job: id, namespace: "*" });
    this.#frames.flush();
    this.store.apply([{ type: "changed", seq: 0, job: answer.job }]);
    return answer.released;
  }

  /** Fetches what a list shows of a job whose summary has not come by itself. */
  wantSummary(id: string): void {
    if (this.#asked.has(id) || this.status.value.kind !== "open") return;
    this.#asked.add(id);
    this.#connection.request("get", { job: id }).then(
      ({ job, definition }) => {
        this.store.learn({ ...job, summary: job.summary ?? summaryOf(definition) });
      },
      () => this.#asked.delete(id),
    );
  }

  /** Opens one job: its definition, result and log, kept current until another is opened. */
  open(id: string): OpenJob {
    const before = this.opened.peek();
    if (before?.id === id) return before;
    this.leave();
    const known = this.store.job(id)?.peek() ?? null;
    const open: OpenJob = {
      id,
      job: signal(known),
      definition: signal(null),
      result: signal(null),
      log: new JobLog(),
      problem: signal(null),
      run: known?.queued ?? null,
      endAsked: false,
    };
    this.store.pinned = id;
    this.opened.value = open;
    if (this.status.peek().kind === "open") void this.#follow(open);
    return open;
  }

  /** Closes the open job. */
  leave(): void {
    const open = this.opened.peek();
    if (open === null) return;
    this.opened.value = null;
    this.store.pinned = null;
    // The queue's changes keep coming; only the log ends. A connection that is gone follows nothing anyway.
    this.#connection.request("unfollow", { job: open.id }).catch(() => undefined);
  }

  async #welcome(welcome: Welcome): Promise<void> {
    this.#life += 1;
    const life = this.#life;
    setHubTime(welcome.time);
    this.#asked.clear();
    if (welcome.counts !== undefined) this.store.setCounts(welcome.counts);
    const whole = welcome.recovered !== true || !this.store.listed.peek();
    const open = this.opened.peek();
    const tasks: Promise<unknown>[] = [this.#loadWorkers(life)];
    if (whole) tasks.push(this.#loadJobs(life));
    if (open !== null) tasks.push(this.#follow(open));
    try {
      await Promise.all(tasks);
      if (life === this.#life) this.problem.value = null;
    } catch (error) {
      // A connection that broke meanwhile is told by its own state.
      if (life === this.#life && this.status.peek().kind === "open") this.problem.value = sentence(error);
    }
  }

  async #loadJobs(life: number): Promise<void> {
    const page = await this.#connection.request("list", { limit: PAGE });
    if (life !== this.#life) return;
    this.#frames.flush();
    this.store.replace(page.jobs, page.next ?? null);
    if (page.counts !== undefined) this.store.setCounts(page.counts);
    this.#look();
  }

  async #loadWorkers(life: number): Promise<void> {
    const page = await this.#connection.request("workers", {});
    if (life !== this.#life) return;
    this.#frames.flush();
    this.store.replaceWorkers(page.workers);
  }

  /** Asks for the job and its log from where it stands. */
  async #follow(open: OpenJob): Promise<void> {
    try {
      await Promise.all([this.#followLog(open, open.log.next.peek()), this.#get(open)]);
      open.problem.value = null;
      await this.#repair(open);
    } catch (error) {
      if (this.opened.peek() !== open) return;
      if (error instanceof RequestError && error.code === "not_found") {
        open.problem.value =
          "This queue does not know the job. It may have been deleted or be older than what is kept; check the link, or run it again.";
      } else if (!(error instanceof RequestError) || error.code !== "connection_failed") {
        open.problem.value = sentence(error);
      }
    }
  }

  async #followLog(open: OpenJob, since: number): Promise<void> {
    const answer = await this.#connection.request("follow", { job: open.id, logs: true, since });
    if (answer.job) this.#learn(open, answer.job);
  }

  async #get(open: OpenJob): Promise<void> {
    const answer = await this.#connection.request("get", { job: open.id });
    this.#learn(open, { ...answer.job, summary: answer.job.summary ?? summaryOf(answer.definition) });
    open.definition.value = answer.definition;
    open.result.value = answer.result ?? null;
  }

  #learn(open: OpenJob, wire: JobState): void {
    this.#frames.flush();
    this.store.learn(wire);
    if (this.opened.peek() === open) this.#look();
  }

  #apply(pushes: Push[]): void {
    const open = this.opened.peek();
    if (open === null) {
      this.store.apply(pushes);
      return;
    }
    // What concerns the open job is taken in order, so that a new run's lines never mix with the old one's.
    batch(() => {
      let from = 0;
      pushes.forEach((push, at) => {
        if (push.type === "log" && push.job === open.id) {
          open.log.add(push.lines, push.gap ?? null);
        } else if (push.type === "changed" && push.job.id === open.id) {
          this.store.apply(pushes.slice(from, at + 1));
          from = at + 1;
          this.#look();
        }
      });
      this.store.apply(pushes.slice(from));
    });
    void this.#repair(open);
  }

  /** Brings the open job up to what the store knows of it. */
  #look(): void {
    const open = this.opened.peek();
    const job = open === null ? undefined : this.store.job(open.id)?.peek();
    if (open === null || job === undefined) return;
    const before = open.job.peek();
    open.job.value = job;
    open.problem.value = null;
    if (open.run !== null && open.run !== job.queued) {
      open.log.reset(job.logStart);
      open.result.value = null;
      open.endAsked = false;
      this.#followLog(open, job.logStart).catch(() => undefined);
    }
    open.run = job.queued;
    open.log.begin(job.logStart);
    if (job.state === "Finished" && before !== null && before.state !== "Finished") {
      this.#get(open).catch(() => undefined);
    }
  }

  /** Fetches lines that were passed over, and the end of a finished job's log when it did not come by itself. */
  async #repair(open: OpenJob): Promise<void> {
    if (this.#repairing) return;
    this.#repairing = true;
    try {
      while (this.opened.peek() === open && this.status.peek().kind === "open") {
        const hole = open.log.hole() ?? (await this.#missingEnd(open));
        if (hole === null) return;
        const limit = Math.min(LOG_PAGE, hole.to - hole.from);
        const page = await this.#connection.request("read_log", { job: open.id, since: hole.from, limit });
        this.#frames.flush();
        open.log.add(page.lines);
        open.log.lose(hole.from, page.lines.length === 0 ? hole.to : Math.min(page.next, hole.to));
        if (page.lines.length === 0 && open.log.next.peek() < hole.to) open.endAsked = true;
      }
    } catch {
      // The lines stay shown as missing; the next welcome or line tries again.
    } finally {
      this.#repairing = false;
    }
  }

  /** The lines that a finished job still owes, after they had time to come by themselves. */
  async #missingEnd(open: OpenJob): Promise<{ from: number; to: number } | null> {
    for (;;) {
      const job = open.job.peek();
      const from = open.log.next.peek();
      const to = job?.state === "Finished" ? (job.verdict?.lines ?? 0) : 0;
      if (from >= to || open.endAsked) return null;
      await new Promise((resolve) => setTimeout(resolve, END_MS));
      if (this.opened.peek() !== open) return null;
      if (open.log.next.peek() === from) return { from, to };
    }
  }
}
