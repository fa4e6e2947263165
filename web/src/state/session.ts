/**
 * The session of a page with one queue: it owns the connection, fills the store, and follows the open job.
 */

import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { Connection, type ConnectionOptions, type Status } from "../protocol/connection";
import { RequestError, sentence } from "../protocol/errors";
import type {
  Answer,
  Ask,
  Definition,
  Explanation,
  JobState,
  Phase,
  PhaseProgress,
  Push,
  RequestType,
  Result,
  Right,
  Welcome,
} from "../protocol/messages";
import { hubNow, setHubTime } from "./clock";
import { FrameBatcher, type Schedule } from "./frame-batcher";
import { type Job, summaryOf } from "./job";
import { JobLog } from "../log/job-log";
import { QueueStore } from "./queue";

export interface OpenJob {
  readonly id: string;
  readonly job: Signal<Job | null>;
  readonly definition: Signal<Definition | null>;
  readonly result: Signal<Result | null>;
  readonly log: JobLog;
  /** The reason why the job can't be shown; null when it can. */
  readonly problem: Signal<string | null>;
  /** Whether the hub answered that the queue has no such job. */
  readonly unknown: Signal<boolean>;
  /** The hub's latest explanation why the job waits. */
  readonly explanation: Signal<Explanation | null>;
  /** The phases that began while this page watched, with the hub's time. */
  readonly phases: Signal<readonly PhaseStart[]>;
  /** Progress of the current phase, if the worker reports it. */
  readonly progress: Signal<PhaseProgress | null>;
  /** The `queued` time of the run whose log is loaded. */
  run: number | null;
  /** Whether the hub answered that it has no more of the log. */
  endAsked: boolean;
}

export interface PhaseStart {
  readonly phase: Phase;
  readonly at: number;
}

/** Progress of the open job's phase; null when none was reported for this phase of this attempt. */
export function progressOf(open: OpenJob): PhaseProgress | null {
  const job = open.job.value;
  const said = open.progress.value;
  return said !== null && job?.phase === said.phase && job.attempt === said.attempt ? said : null;
}

export interface SessionOptions {
  url: string;
  /** `jobs` for the page of one job, which then receives no other changes of a busy queue. */
  follow?: "queue" | "jobs";
  socket?: ConnectionOptions["socket"];
  backoff?: ConnectionOptions["backoff"];
  schedule?: Schedule;
}

/** Number of jobs in one page of a list. */
const PAGE = 200;
/** Number of lines in one page of a log. */
const LOG_PAGE = 10_000;
/** Time without a line after which the end of a finished job's log is requested, in milliseconds. */
const END_MS = 1000;

export class Session {
  readonly store = new QueueStore();
  readonly status: Signal<Status> = signal({ kind: "connecting", failures: 0 });
  /** An error that belongs to no request, or the reason why the lists can't be loaded. */
  readonly problem: Signal<string | null> = signal(null);
  readonly opened: Signal<OpenJob | null> = signal(null);
  /** The hub's default image for jobs that name none; empty when there is none. */
  readonly defaultImage: Signal<string> = signal("");
  /** The queue's secret for URLs of results that need no name of a queue; empty until the hub has told it. */
  readonly links: Signal<string> = signal("");
  /** The rights of the page's address; null until the hub has told them, and for a hub that knows no keys. */
  readonly rights: Signal<ReadonlySet<Right> | null> = signal(null);
  /** The limit of the hub that requests wait for, and until when (in milliseconds of this machine's clock). */
  readonly limited: Signal<{ why: string; until: number } | null> = signal(null);
  /** Whether the hub is connected. */
  readonly online: ReadonlySignal<boolean> = computed(() => this.status.value.kind === "open");

  readonly #follows: "queue" | "jobs";
  readonly #connection: Connection;
  readonly #batcher: FrameBatcher<Push>;
  /** Number of welcomes; an answer from an earlier connection is dropped. */
  #life = 0;
  #repairing = false;
  readonly #asked = new Set<string>();

  constructor(options: SessionOptions) {
    this.#follows = options.follow ?? "queue";
    this.#batcher = new FrameBatcher((pushes) => this.#apply(pushes), options.schedule);
    this.#connection = new Connection({
      url: options.url,
      agent: `asman-page/${__ASMAN_VERSION__}`,
      follow: this.#follows,
      onStatus: (status) => {
        this.status.value = status;
        // The end says why in a sentence for a person.
        if (status.kind === "closed") this.problem.value = null;
      },
      onWelcome: (welcome) => void this.#welcome(welcome),
      onPush: (pushes) => this.#batcher.push(pushes),
      onError: (error) => {
        this.problem.value = sentence(error);
      },
      onLimited: (why, until) => {
        this.limited.value = { why, until };
      },
      ...(options.socket === undefined ? {} : { socket: options.socket }),
      ...(options.backoff === undefined ? {} : { backoff: options.backoff }),
    });
  }

  /** Whether the page's address allows something, as far as is known. */
  may(right: Right): boolean {
    return this.rights.value?.has(right) ?? true;
  }

  start(): void {
    this.#connection.open();
  }

  stop(): void {
    this.#connection.close();
  }

  /** Makes the requests that wait for a limit of the hub again now. */
  askNow(): void {
    this.limited.value = null;
    this.#connection.askNow();
  }

  /** Ends the requests that wait for a limit of the hub. */
  stopAsking(): void {
    this.limited.value = null;
    this.#connection.stopAsking();
  }

  /** Checks the connection, or reconnects, now. */
  nudge(): void {
    this.#connection.nudge();
  }

  /** Loads the next older page of jobs. */
  async loadMore(): Promise<void> {
    while (!this.store.full.value) {
      const before = this.store.next.value;
      const page = await this.#connection.request("list", { limit: PAGE, ...(before === null ? {} : { before }) });
      this.#batcher.flush();
      const added = this.store.addPage(page.jobs, page.next ?? null);
      if (added > 0 || this.store.next.value === null) return;
    }
  }

  /** Sends a request whose answer does not change the store. */
  ask<T extends RequestType>(type: T, ask: Ask<T>): Promise<Answer<T>> {
    return this.#connection.request(type, ask);
  }

  /** The definition with the hub's default image, if it names none. */
  withImage(definition: Definition): Definition {
    const image = this.defaultImage.peek();
    return definition.image || definition.build || image === "" ? definition : { ...definition, image };
  }

  /** Submits a job: it runs, joins the existing run, or is answered with the existing result. */
  async submit(definition: Definition, how: Omit<Ask<"submit">, "definition" | "follow"> = {}): Promise<Answer<"submit">> {
    const answer = await this.#connection.request("submit", { ...how, definition, follow: !this.may("read") });
    this.#took(answer.job);
    const open = this.opened.peek();
    // The page of a queue receives all changes; the page of one job must follow the run that it started. Who may not
    // read gets the job's changes alone.
    if (open !== null && open.id === answer.job.id && this.#follows === "jobs") void this.#follow(open);
    return answer;
  }

  /** Deletes a job and its result; a running job is cancelled first. */
  async remove(id: string): Promise<void> {
    await this.#connection.request("delete", { job: id });
    this.#batcher.flush();
    const open = this.opened.peek();
    if (open?.id === id) this.#forget(open);
  }

  /** Fetches the explanation why the open job waits. */
  async explain(open: OpenJob): Promise<void> {
    const answer = await this.#connection.request("explain", { job: open.id });
    if (this.opened.peek() === open) open.explanation.value = answer;
  }

  /** Reloads the open job: the page of one job is not notified of a new run of a finished job. */
  refresh(): void {
    const open = this.opened.peek();
    if (open !== null && this.online.peek()) void this.#follow(open);
  }

  /** Cancels a job in all namespaces; returns whether there was anything to cancel. */
  async cancel(id: string): Promise<boolean> {
    const answer = await this.#connection.request("cancel", { job: id, namespace: "*" });
    this.#took(answer.job);
    return answer.released;
  }

  #took(job: JobState): void {
    this.#batcher.flush();
    this.store.apply([{ type: "changed", seq: 0, job }]);
    if (this.opened.peek()?.id === job.id) {
      this.store.learn(job);
      this.#look();
    }
  }

  /** Fetches the summary of a job that was announced without one. */
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

  /** Opens a job: its definition, result and log are kept up to date until another job is opened. */
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
      unknown: signal(false),
      explanation: signal(null),
      phases: signal([]),
      progress: signal(null),
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
    // Only the log ends; the queue's changes keep coming. A lost connection follows nothing, so errors are ignored.
    this.#connection.request("unfollow", { job: open.id }).catch(() => undefined);
  }

  async #welcome(welcome: Welcome): Promise<void> {
    this.#life += 1;
    const life = this.#life;
    setHubTime(welcome.time);
    this.defaultImage.value = welcome.default_image ?? "";
    this.links.value = welcome.links ?? "";
    this.rights.value = welcome.rights === undefined ? null : new Set(welcome.rights);
    this.#asked.clear();
    if (welcome.counts !== undefined) this.store.setCounts(welcome.counts);
    const whole = this.#follows === "queue" && (welcome.recovered !== true || !this.store.listed.peek());
    const open = this.opened.peek();
    const tasks: Promise<unknown>[] = this.may("read") ? [this.#loadWorkers(life)] : [];
    if (whole) tasks.push(this.#loadJobs(life));
    if (open !== null) tasks.push(this.#follow(open));
    try {
      await Promise.all(tasks);
      if (life === this.#life) this.problem.value = null;
    } catch (error) {
      // A connection that broke in the meantime is reported by `status`.
      if (life === this.#life && this.status.peek().kind === "open") this.problem.value = sentence(error);
    }
  }

  async #loadJobs(life: number): Promise<void> {
    const page = await this.#connection.request("list", { limit: PAGE });
    if (life !== this.#life) return;
    this.#batcher.flush();
    this.store.replace(page.jobs, page.next ?? null);
    if (page.counts !== undefined) this.store.setCounts(page.counts);
    this.#look();
  }

  async #loadWorkers(life: number): Promise<void> {
    const page = await this.#connection.request("workers", {});
    if (life !== this.#life) return;
    this.#batcher.flush();
    this.store.replaceWorkers(page.workers);
  }

  /** Requests the job, and its log from the next expected line. */
  async #follow(open: OpenJob): Promise<void> {
    if (!this.may("read")) return void (open.unknown.value = open.job.peek() === null);
    try {
      await Promise.all([this.#followLog(open, open.log.next.peek()), this.#get(open)]);
      open.problem.value = null;
      await this.#repair(open);
    } catch (error) {
      if (this.opened.peek() !== open) return;
      if (error instanceof RequestError && error.code === "not_found") {
        this.#forget(open);
      } else if (!(error instanceof RequestError) || error.code !== "connection_failed") {
        open.problem.value = sentence(error);
      }
    }
  }

  #forget(open: OpenJob): void {
    batch(() => {
      open.unknown.value = true;
      open.job.value = null;
      open.result.value = null;
      open.explanation.value = null;
      open.phases.value = [];
      open.run = null;
      open.log.reset();
    });
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
    this.#batcher.flush();
    this.store.learn(wire);
    if (this.opened.peek() === open) this.#look();
  }

  #apply(pushes: Push[]): void {
    const open = this.opened.peek();
    if (open === null) {
      this.store.apply(pushes);
      return;
    }
    // Pushes of the open job are applied in order, so that lines of a new run never mix with those of the old run.
    batch(() => {
      let from = 0;
      pushes.forEach((push, at) => {
        if (push.type === "log" && push.job === open.id) {
          open.log.add(push.lines, push.gap ?? null);
        } else if (push.type === "progress" && push.job === open.id) {
          open.progress.value = push;
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

  /** Updates the open job from the store. */
  #look(): void {
    const open = this.opened.peek();
    const job = open === null ? undefined : this.store.job(open.id)?.peek();
    if (open === null || job === undefined) return;
    const before = open.job.peek();
    if (job.state === "Removed") {
      if (before !== null) this.#forget(open);
      return;
    }
    open.job.value = job;
    open.problem.value = null;
    if (open.unknown.peek()) {
      open.unknown.value = false;
      void this.#follow(open);
    }
    if (job.state !== "Queued") open.explanation.value = null;
    this.#sawPhase(open, job);
    if (job.worker !== "") this.#wantWorker(job.worker);
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

  #sawPhase(open: OpenJob, job: Job): void {
    if (job.state === "Queued") open.phases.value = [];
    if (job.state !== "Running" || job.phase === null || open.phases.peek().at(-1)?.phase === job.phase) return;
    // The start time of the first phase is known; that of a later phase is the time when this page saw it begin.
    const at = open.phases.peek().length === 0 ? job.started : hubNow();
    open.phases.value = [...open.phases.peek(), { phase: job.phase, at }];
  }

  /** Fetches the workers if a job names an unknown one; the page of one job is not notified of them. */
  #wantWorker(id: string): void {
    if (this.#follows === "queue" || this.#asked.has(id) || this.store.workerName(id) !== id) return;
    this.#asked.add(id);
    this.#loadWorkers(this.#life).catch(() => this.#asked.delete(id));
  }

  /** Fetches missing lines, and the end of a finished job's log if it does not arrive by itself. */
  async #repair(open: OpenJob): Promise<void> {
    if (this.#repairing) return;
    this.#repairing = true;
    try {
      while (this.opened.peek() === open && this.status.peek().kind === "open") {
        const hole = open.log.hole() ?? (await this.#missingEnd(open));
        if (hole === null) return;
        const limit = Math.min(LOG_PAGE, hole.to - hole.from);
        const page = await this.#connection.request("read_log", { job: open.id, since: hole.from, limit });
        this.#batcher.flush();
        open.log.add(page.lines);
        open.log.lose(hole.from, page.lines.length === 0 ? hole.to : Math.min(page.next, hole.to));
        if (page.lines.length === 0 && open.log.next.peek() < hole.to) open.endAsked = true;
      }
    } catch {
      // The lines stay marked as missing; the next welcome or push starts another repair.
    } finally {
      this.#repairing = false;
    }
  }

  /** The last lines of a finished job that are still missing after `END_MS` without a new line. */
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
