/**
 * The job that a person edits: its definition, which the URL contains, the undo history, and the requested action,
 * which is kept while the hub can't be reached.
 *
 * The editor also shows a job that is named by its id. The first edit then creates a new job in the URL.
 */

import { batch, computed, effect, type ReadonlySignal, type Signal, signal, untracked } from "@preact/signals";
import { asParams, effective, type JobParams, readParams, withJob } from "../job/address";
import { jobId } from "../job/identity";
import { RequestError, sentence } from "../protocol/errors";
import type { Answer, DataRef, Definition, Validated } from "../protocol/messages";
import { isOver } from "./job";
import type { OpenJob, Session } from "./session";

/** The editable part of a job. */
export interface Draft {
  job: Definition;
  files: Record<string, string>;
}

/** An action that a person requests for the job. */
export type JobAction = "run" | "again" | "cancel" | "delete";

export interface JobEditorOptions {
  session: Session;
  /** Writes new parameters into the URL; `push` when the back button must lead to the old ones. */
  write: (params: ReadonlyMap<string, string>, push: boolean) => void;
  /** The namespace of this page's jobs if the URL names none. */
  namespace?: string;
  /** Pause in typing, in milliseconds, after which an edit is evaluated. */
  settle?: number;
  /** Whether a job runs only after a click that was made while it was shown, whatever the URL says. */
  clickToRun?: boolean;
  /** Whether the page is embedded in another, which may pipe values in before a job starts by itself. */
  embedded?: boolean;
}

/** Default pause in typing after which an edit is evaluated, in milliseconds. */
const SETTLE_MS = 250;
/** Number of steps that can be undone. */
const STEPS = 200;
/** Time within which edits of one field are one step, in milliseconds. */
const STEP_MS = 1500;

type Params = ReadonlyMap<string, string>;

export class JobEditor {
  readonly raw: Signal<Params> = signal(new Map());
  readonly params: ReadonlySignal<JobParams> = computed(() => readParams(this.raw.value));
  /** Inputs that the parent page pipes in. */
  readonly piped: Signal<Readonly<Record<string, DataRef>>> = signal({});
  readonly definition: ReadonlySignal<Definition> = computed(() => effective(this.params.value, this.piped.value));
  /** The id of a job that the URL names; null when the URL contains the definition. */
  readonly fixed: Signal<string | null> = signal(null);
  readonly id: ReadonlySignal<string> = computed(() => this.fixed.value ?? jobId(this.definition.value));
  /** Whether the definition does not yet say what to run. */
  readonly blank: ReadonlySignal<boolean> = computed(() => this.fixed.value === null && isBlank(this.definition.value));
  readonly open: Signal<OpenJob | null> = signal(null);
  /** The hub's validation of the current definition; null until it arrives. */
  readonly validated: Signal<Validated | null> = signal(null);
  /** The action that waits for the hub or for inputs. */
  readonly pending: Signal<JobAction | null> = signal(null);
  /** The action in progress. */
  readonly busy: Signal<JobAction | null> = signal(null);
  readonly problem: Signal<string | null> = signal(null);
  /** The hub's answer to the last submission. */
  readonly answer: Signal<Answer<"submit"> | null> = signal(null);
  readonly past: Signal<readonly Params[]> = signal([]);
  readonly future: Signal<readonly Params[]> = signal([]);
  /** Number of inputs that are not ready; a run waits for them. */
  readonly uploading: Signal<number> = signal(0);
  /** Whether no job starts by itself yet, since the first values may still be piped in. */
  readonly awaitsValues: Signal<boolean>;

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
    this.awaitsValues = signal(options.embedded === true);
  }

  /** Starts to follow the job. */
  start(): void {
    this.#stops.push(
      effect(() => this.#lookSoon(this.id.value, this.blank.value)),
      effect(() => this.#checkSoon(this.definition.value, this.#session.online.value)),
      effect(() => this.#fillIn()),
      effect(() => this.#carryOut(this.#session.online.value, this.pending.value, this.uploading.value)),
      effect(() => this.#autostart()),
    );
  }

  stop(): void {
    clearTimeout(this.#looking);
    clearTimeout(this.#checking);
    for (const stop of this.#stops.splice(0)) stop();
    this.#session.leave();
  }

  /** Loads the definition in the URL's parameters. */
  take(params: Params): void {
    batch(() => {
      this.fixed.value = null;
      if (sameParams(params, this.raw.peek())) return;
      this.raw.value = params;
      this.#dropClick();
    });
  }

  /** Withdraws a click on another job than the one that is now shown. */
  #dropClick(): void {
    if (this.#options.clickToRun) this.pending.value = null;
  }

  /** Loads a job by its id, from the queue that the parameters name. */
  takeJob(id: string, params: Params): void {
    if (this.fixed.peek() === id) return;
    batch(() => {
      this.fixed.value = id;
      this.raw.value = params;
      this.#dropClick();
      this.past.value = [];
      this.future.value = [];
    });
  }

  /** The current definition in its editable form. */
  draft(): Draft {
    const { job, files } = this.params.peek();
    return { job: job ?? {}, files: { ...files } };
  }

  /**
   * Changes the definition at once; `undo` reverts it.
   *
   * @param field The edited field; consecutive edits of one field are one step.
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

  /** Sets a parameter that is not part of the definition; an empty value removes it. */
  set(name: string, value: string): void {
    const after = new Map(this.raw.peek());
    if (value === "") after.delete(name);
    else after.set(name, encodeURIComponent(value));
    this.#apply(after, false);
  }

  /** The queue's secret for URLs of results; see `Session.links`. */
  get links(): string {
    return this.#session.links.peek();
  }

  /** Whether the URL names a job by its id alone, and its queue has none, so that there is nothing to show or to run. */
  get missing(): boolean {
    const open = this.open.value;
    if (this.fixed.value === null || open === null || !this.#session.may("read")) return false;
    return open.unknown.value && open.definition.value === null;
  }

  /** Whether the URL asks that the job starts by itself, and it does not. */
  get heldBack(): boolean {
    return this.params.value.autostart && this.#options.clickToRun === true;
  }

  /** Requests an action; it starts as soon as the hub is connected and all inputs are ready. */
  request(action: JobAction): void {
    this.problem.value = null;
    this.answer.value = null;
    this.pending.value = action;
  }

  /** Withdraws the requested action. */
  withdraw(): void {
    this.pending.value = null;
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

  /** Opens the job of the current definition, after a pause in typing. */
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
      // Never show the state of another job.
      this.#session.leave();
      this.open.value = null;
      this.#looking = setTimeout(look, this.#options.settle ?? SETTLE_MS);
    }
  }

  /** Loads the hub's definition of a job that is named by its id. */
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
    if (!online || !this.#session.may("submit") || untracked(() => this.blank.value)) return;
    this.#checking = setTimeout(() => void this.#check(definition), this.#options.settle ?? SETTLE_MS);
  }

  async #check(definition: Definition): Promise<void> {
    try {
      const answer = await this.#session.ask("validate", { definition });
      if (this.definition.peek() === definition) this.validated.value = answer;
    } catch {
      // Submitting the job validates it again and reports the problems.
    }
  }

  #autostart(): void {
    const { autostart } = this.params.value;
    const id = this.id.value;
    const ready = this.fixed.value === null && !this.blank.value && this.open.value?.id === id;
    if (!autostart || !this.#session.may("submit") || this.#options.clickToRun || this.awaitsValues.value || !ready || this.#started === id) return;
    const known = this.open.value;
    if (known === null || (!known.unknown.value && known.job.value === null)) return;
    this.#started = id;
    // An existing result of the command is shown; any other failure is run again.
    const job = known.job.peek();
    const good = job !== null && (!isOver(job) || job.verdict?.reason === "Success" || job.verdict?.reason === "Failed");
    if (!good) untracked(() => this.request("run"));
  }

  #carryOut(online: boolean, action: JobAction | null, uploading: number): void {
    if (action === null || !online || (uploading > 0 && action !== "cancel" && action !== "delete")) return;
    untracked(() => void this.#do(action));
  }

  async #do(action: JobAction): Promise<void> {
    this.pending.value = null;
    this.busy.value = action;
    try {
      if (action === "cancel") await this.#session.cancel(this.id.peek());
      else if (action === "delete") await this.#session.remove(this.id.peek());
      else await this.#submit(action === "again");
    } catch (error) {
      const lost = error instanceof RequestError && error.code === "connection_failed" && !this.#session.online.peek();
      // Submitting the same job twice runs it once, so the request can be repeated when the hub is back.
      if (lost && action === "run") this.pending.value = action;
      else this.problem.value = sentence(error);
    }
    this.busy.value = null;
  }

  async #submit(again: boolean): Promise<void> {
    const bad = this.params.peek().problems.find(({ stops }) => stops);
    if (bad !== undefined) throw new Error(`The job was not started, as ${bad.name} in the link can't be used: ${bad.why}.`);
    const { image } = this.#session.withImage(this.definition.peek());
    if (image !== undefined && image !== this.definition.peek().image && this.fixed.peek() === null) {
      this.edit("", (draft) => ({ ...draft, job: { ...draft.job, image } }));
    }
    const { control, timeLimits } = this.params.peek();
    const namespace = control?.namespace || this.#options.namespace;
    const answer = await this.#session.submit(this.definition.peek(), {
      reuse: again ? "never" : "success",
      ...(namespace ? { namespace } : {}),
      ...(timeLimits.length > 0 ? { time_limit: Math.min(...timeLimits) } : {}),
      ...(control?.callbacks ? { callbacks: control.callbacks } : {}),
    });
    clearTimeout(this.#looking);
    if (this.id.peek() === answer.job.id) this.open.value = this.#session.open(answer.job.id);
    this.answer.value = answer;
  }
}

/** Whether a definition does not say what to run. */
export function isBlank(definition: Definition): boolean {
  const { image, build, command, entrypoint } = definition;
  return !image && !build && (!command || command.length === 0) && (!entrypoint || entrypoint.length === 0);
}

export function sameParams(a: Params, b: Params): boolean {
  return a.size === b.size && [...a].every(([name, value]) => b.get(name) === value);
}

/** Removes empty fields from a definition. */
function withoutEmpty(job: Definition): Definition {
  const kept = Object.entries(job).filter(([, value]) => {
    if (value === undefined || value === null || value === "") return false;
    return typeof value !== "object" || Array.isArray(value) || Object.keys(value).length > 0;
  });
  return Object.fromEntries(kept) as Definition;
}
