/**
 * The job that a person works on: its definition as the address holds it, every edit with a way back, and what is
 * wanted of it, kept while the hub is away.
 *
 * It shows a job that is given by its id too: the first edit makes it a job of its own, held by the address.
 */

import { batch, computed, effect, type ReadonlySignal, type Signal, signal, untracked } from "@preact/signals";
import { asParams, effective, type JobParams, readParams, withJob } from "../job/address";
import { jobId } from "../job/identity";
import { parseDuration } from "../job/units";
import { RequestError, sentence } from "../protocol/errors";
import type { Answer, DataRef, Definition, Validated } from "../protocol/messages";
import { isOver } from "./job";
import type { OpenJob, Session } from "./session";

/** The part of a job that a person edits. */
export interface Draft {
  job: Definition;
  files: Record<string, string>;
}

/** What a person wants done to the job. */
export type Wish = "run" | "again" | "stop" | "delete";

export interface JobEditorOptions {
  session: Session;
  /** Puts new parameters into the address; `push` when the back button shall lead to the old ones. */
  write: (params: ReadonlyMap<string, string>, push: boolean) => void;
  /** The slot that jobs of this page hold when the address names none. */
  namespace?: string;
  /** Waits until typing has paused. */
  settle?: number;
}

/** Milliseconds without a keystroke after which what was typed is looked at. */
const SETTLE_MS = 250;
/** Steps that can be undone. */
const STEPS = 200;
/** Edits of one field within this time, in milliseconds, are one step. */
const STEP_MS = 1500;

type Params = ReadonlyMap<string, string>;

export class JobEditor {
  readonly raw: Signal<Params> = signal(new Map());
  readonly params: ReadonlySignal<JobParams> = computed(() => readParams(this.raw.value));
  /** Inputs that the page around this one pipes in. */
  readonly piped: Signal<Readonly<Record<string, DataRef>>> = signal({});
  readonly definition: ReadonlySignal<Definition> = computed(() => effective(this.params.value, this.piped.value));
  /** The id of the job that is given by it; null when the address holds the job. */
  readonly fixed: Signal<string | null> = signal(null);
  readonly id: ReadonlySignal<string> = computed(() => this.fixed.value ?? jobId(this.definition.value));
  /** Nothing is said yet of what to run. */
  readonly blank: ReadonlySignal<boolean> = computed(() => this.fixed.value === null && isBlank(this.definition.value));
  readonly open: Signal<OpenJob | null> = signal(null);
  /** What the hub says of the definition as it is now; null while that is not known. */
  readonly validated: Signal<Validated | null> = signal(null);
  /** What is waiting for the hub to come back. */
  readonly wish: Signal<Wish | null> = signal(null);
  readonly busy: Signal<Wish | null> = signal(null);
  readonly problem: Signal<string | null> = signal(null);
  /** What the last submission met. */
  readonly answer: Signal<Answer<"submit"> | null> = signal(null);
  readonly past: Signal<readonly Params[]> = signal([]);
  readonly future: Signal<readonly Params[]> = signal([]);
  /** Uploads that a run must wait for. */
  readonly uploading: Signal<number> = signal(0);

  readonly #options: JobEditorOptions;
  readonly #session: Session;
  readonly #stops: (() => void)[] = [];
  #step = { field: "", time: 0 };
  #started = "";
  #looking: ReturnType<typeof setTimeout> | undefined;
  #checking: ReturnType<typeof setTimeout> | undefined;

  constructor(options: JobEditorOptions) {
    this.#options = options;
    this.#session = options.session;
  }

  /** Begins to follow what it holds. */
  start(): void {
    this.#stops.push(
      effect(() => this.#lookSoon(this.id.value, this.blank.value)),
      effect(() => this.#checkSoon(this.definition.value, this.#session.online.value)),
      effect(() => this.#fillIn()),
      effect(() => this.#carryOut(this.#session.online.value, this.wish.value, this.uploading.value)),
      effect(() => this.#autostart()),
    );
  }

  stop(): void {
    clearTimeout(this.#looking);
    clearTimeout(this.#checking);
    for (const stop of this.#stops.splice(0)) stop();
    this.#session.leave();
  }

  /** Takes what the address holds. */
  take(params: Params): void {
    batch(() => {
      this.fixed.value = null;
      if (!sameParams(params, this.raw.peek())) this.raw.value = params;
    });
  }

  /** Takes a job by its id, in the queue that the parameters name. */
  takeJob(id: string, params: Params): void {
    if (this.fixed.peek() === id) return;
    batch(() => {
      this.fixed.value = id;
      this.raw.value = params;
      this.past.value = [];
      this.future.value = [];
    });
  }

  /** The definition as a person edits it. */
  draft(): Draft {
    const { job, files } = this.params.peek();
    return { job: job ?? {}, files: { ...files } };
  }

  /**
   * Changes the definition; applied at once, and undone by `undo`.
   *
   * @param field what is edited: edits of one field in a row are one step.
   */
  edit(field: string, change: (draft: Draft) => Draft): void {
    const before = this.raw.peek();
    const { job, files } = change(this.draft());
    const after = withJob(before, withoutEmpty(job), files);
    if (sameParams(before, after)) return;
    const time = Date.now();
    const same = field !== "" && this.#step.field === field && time - this.#step.time < STEP_MS && this.past.peek().length > 0;
    this.#step = { field, time };
    if (!same) this.past.value = [...this.past.peek(), before].slice(-STEPS);
    this.future.value = [];
    this.#apply(after, !same);
  }

  undo(): void {
    const before = this.past.peek().at(-1);
    if (before === undefined) return;
    this.past.value = this.past.peek().slice(0, -1);
    this.future.value = [...this.future.peek(), this.raw.peek()];
    this.#step.field = "";
    this.#apply(before, false);
  }

  redo(): void {
    const after = this.future.peek().at(-1);
    if (after === undefined) return;
    this.future.value = this.future.peek().slice(0, -1);
    this.past.value = [...this.past.peek(), this.raw.peek()];
    this.#step.field = "";
    this.#apply(after, false);
  }

  /** Sets or takes away a parameter that is no part of the definition. */
  set(name: string, value: string): void {
    const after = new Map(this.raw.peek());
    if (value === "") after.delete(name);
    else after.set(name, encodeURIComponent(value));
    this.#apply(after, false);
  }

  /** Wants something done: now, or as soon as the hub is there and all inputs have been sent. */
  want(wish: Wish): void {
    this.problem.value = null;
    this.answer.value = null;
    this.wish.value = wish;
  }

  /** Does not want it any more. */
  forgo(): void {
    this.wish.value = null;
  }

  #apply(params: Params, push: boolean): void {
    batch(() => {
      this.raw.value = params;
      this.fixed.value = null;
      this.answer.value = null;
      this.problem.value = null;
    });
    this.#options.write(params, push);
  }

  /** Opens the job that the definition is now, once typing pauses. */
  #lookSoon(id: string, blank: boolean): void {
    clearTimeout(this.#looking);
    const first = untracked(() => this.open.peek() === null || this.fixed.peek() !== null);
    const look = () => {
      if (blank) {
        this.#session.leave();
        this.open.value = null;
      } else this.open.value = this.#session.open(id);
    };
    if (first) look();
    else if (this.open.peek()?.id !== id) {
      // What is shown must never be another job's.
      this.#session.leave();
      this.open.value = null;
      this.#looking = setTimeout(look, this.#options.settle ?? SETTLE_MS);
    }
  }

  /** A job that is given by its id is edited as the hub holds it. */
  #fillIn(): void {
    const definition = this.open.value?.definition.value;
    const fixed = this.fixed.value;
    if (fixed === null || !definition || this.open.value?.id !== fixed) return;
    const { job, files } = asParams(definition);
    const params = withJob(this.raw.peek(), job, files);
    if (!sameParams(params, this.raw.peek())) this.raw.value = params;
  }

  #checkSoon(definition: Definition, online: boolean): void {
    clearTimeout(this.#checking);
    this.validated.value = null;
    if (!online || untracked(() => this.blank.value)) return;
    this.#checking = setTimeout(() => void this.#check(definition), this.#options.settle ?? SETTLE_MS);
  }

  async #check(definition: Definition): Promise<void> {
    try {
      const answer = await this.#session.ask("validate", { definition });
      if (this.definition.peek() === definition) this.validated.value = answer;
    } catch {
      // What is wrong is said again, and for certain, when the job is submitted.
    }
  }

  #autostart(): void {
    const { autostart } = this.params.value;
    const id = this.id.value;
    const ready = this.fixed.value === null && !this.blank.value && this.open.value?.id === id;
    if (!autostart || !ready || this.#started === id) return;
    const known = this.open.value;
    if (known === null || (!known.unknown.value && known.job.value === null)) return;
    this.#started = id;
    // A result that is there already is shown as it is; what ended badly is tried again.
    const job = known.job.peek();
    const good = job !== null && (!isOver(job) || job.verdict?.reason === "Success" || job.verdict?.reason === "Failed");
    if (!good) untracked(() => this.want("run"));
  }

  #carryOut(online: boolean, wish: Wish | null, uploading: number): void {
    if (wish === null || !online || (uploading > 0 && wish !== "stop" && wish !== "delete")) return;
    untracked(() => void this.#do(wish));
  }

  async #do(wish: Wish): Promise<void> {
    this.wish.value = null;
    this.busy.value = wish;
    try {
      if (wish === "stop") await this.#session.cancel(this.id.peek());
      else if (wish === "delete") await this.#session.remove(this.id.peek());
      else await this.#submit(wish === "again");
    } catch (error) {
      const lost = error instanceof RequestError && error.code === "connection_failed" && !this.#session.online.peek();
      // Running the same job twice is running it once, so this may simply wait for the hub.
      if (lost && wish === "run") this.wish.value = wish;
      else this.problem.value = sentence(error);
    }
    this.busy.value = null;
  }

  async #submit(again: boolean): Promise<void> {
    const image = this.#session.defaultImage.peek();
    const definition = this.definition.peek();
    if (!definition.image && !definition.build && image !== "" && this.fixed.peek() === null) {
      this.edit("", (draft) => ({ ...draft, job: { ...draft.job, image } }));
    }
    const { control, maxJobDuration } = this.params.peek();
    const limits = [maxJobDuration, control?.maxDuration ?? ""].map(parseDuration).filter((ms) => ms !== null);
    const namespace = control?.namespace || this.#options.namespace;
    const answer = await this.#session.submit(this.definition.peek(), {
      reuse: again ? "never" : "cached",
      ...(namespace ? { namespace } : {}),
      ...(limits.length > 0 ? { time_limit: Math.min(...limits) } : {}),
      ...(control?.callbacks ? { callbacks: control.callbacks } : {}),
    });
    clearTimeout(this.#looking);
    if (this.id.peek() === answer.job.id) this.open.value = this.#session.open(answer.job.id);
    this.answer.value = answer;
  }
}

/** Whether a definition says nothing of what to run. */
export function isBlank(definition: Definition): boolean {
  const { image, build, command, entrypoint } = definition;
  return !image && !build && (!command || command.length === 0) && (!entrypoint || entrypoint.length === 0);
}

export function sameParams(a: Params, b: Params): boolean {
  return a.size === b.size && [...a].every(([name, value]) => b.get(name) === value);
}

/** The definition without what was emptied: an empty field is no field. */
function withoutEmpty(job: Definition): Definition {
  const kept = Object.entries(job).filter(([, value]) => {
    if (value === undefined || value === null || value === "") return false;
    return typeof value !== "object" || Array.isArray(value) || Object.keys(value).length > 0;
  });
  return Object.fromEntries(kept) as Definition;
}
