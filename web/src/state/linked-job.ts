/**
 * One job as its link shows it to whoever has the link, over plain HTTP: it is read, and nothing is ever changed.
 *
 * A job that has not ended is looked at again, less and less often, and only while somebody can see the page.
 */

import { batch, type Signal, signal } from "@preact/signals";
import { plain } from "../job/address";
import { KINDS, type Slice, SlicedLog, type SlicedLine } from "../log/sliced-log";
import { Backoff } from "../protocol/backoff";
import type { DataRef, Definition, OutputFile, Reason, Result, Verdict } from "../protocol/messages";
import { type Job, jobFrom } from "./job";
import { mediaTypeOf } from "./media-type";

/** `missing`: there is no such job, or the link does not show it. */
export type Standing = "looking" | "missing" | "live" | "ended";

/** The longest wait before the second look, and before any, in milliseconds. */
export const LOOKS = { first: 2000, most: 30_000 };
/** Most requests for slices of one kind in one look at a job that still writes. */
export const MOST_SLICES = 20;
/** Most files whose sizes are asked for; the list shows as many at first. */
export const MOST_SIZED = 100;
/** Number of those requests on their way at once. */
const AT_ONCE = 6;
/** Time limit for the reason why a job ended without a result, in milliseconds. */
const REASON_MS = 10_000;
/** Part of the stream of events in which its last one is looked for, in characters. */
const LAST_EVENT = 1000;

const SHA256 = /^[0-9a-f]{64}$/;

/** A finished job as the hub writes it at `result.json`. */
export interface ListedJob {
  queuedTime: number;
  finished?: {
    time: number;
    reason: string;
    worker?: string;
    message?: string;
    result?: { StatusCode?: number; duration?: number; error?: string; logs?: SlicedLine[]; outputs?: Record<string, DataRef> };
  };
}

export interface LinkedJobOptions {
  /** The job's id. */
  job: string;
  /** Whether the link has a key; an id alone shows a result only where the hub's operator wants that. */
  keyed: boolean;
  /** The path of the link. */
  path: string;
  /** The URL of the hub. */
  hub: string;
  fetch?: typeof fetch;
  random?: () => number;
}

export class LinkedJob {
  readonly standing: Signal<Standing> = signal("looking");
  /** What is known of the job; of one that has not ended, that alone. */
  readonly job: Signal<Job | null> = signal(null);
  readonly definition: Signal<Definition | null> = signal(null);
  /** The outputs; null until they are known. */
  readonly result: Signal<Result | null> = signal(null);
  /** Whether the log is here as far as it was written at the last look. */
  readonly logRead: Signal<boolean> = signal(false);
  /** The reason why the last look failed; null when it did not. */
  readonly problem: Signal<string | null> = signal(null);
  /** Whether the hub is asked right now. */
  readonly busy: Signal<boolean> = signal(false);
  readonly lines = new SlicedLog();

  readonly #options: LinkedJobOptions;
  readonly #backoff: Backoff;
  #stop = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #visible = true;
  #over = false;

  constructor(options: LinkedJobOptions) {
    this.#options = options;
    this.#backoff = new Backoff({ ...LOOKS, ...(options.random === undefined ? {} : { random: options.random }) });
  }

  start(): void {
    this.#stop = new AbortController();
    void this.look();
  }

  stop(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
  }

  /** Tells whether somebody can see the page: while nobody can, nothing is asked. */
  see(visible: boolean): void {
    this.#visible = visible;
    clearTimeout(this.#timer);
    if (visible && !this.#stop.signal.aborted) {
      this.#backoff.succeeded();
      void this.look();
    }
  }

  /** Asks the hub now, unless all is known. */
  async look(): Promise<void> {
    if (this.busy.peek() || this.#over) return;
    clearTimeout(this.#timer);
    const { signal } = this.#stop;
    this.busy.value = true;
    try {
      await this.#read(signal);
      this.problem.value = null;
    } catch (error) {
      if (!signal.aborted) this.problem.value = asProblem(error);
    } finally {
      this.busy.value = false;
    }
    if (this.#over || !this.#visible || signal.aborted) return;
    this.#timer = setTimeout(() => void this.look(), this.#backoff.next());
  }

  async #read(stop: AbortSignal): Promise<void> {
    const { job, keyed } = this.#options;
    // In this order, a job that ends in between is finished for the second request.
    const [definition, held] = await Promise.all([
      this.definition.peek() ?? this.#data<Definition | null>("definition.json", stop),
      this.#data<string[]>("namespaces.json", stop),
    ]);
    const listed = definition === null ? null : await this.#data<ListedJob | null>("result.json", stop);
    if (definition === null || (listed === null && held.length === 0 && !keyed)) {
      this.standing.value = "missing";
      this.#over = true;
      return;
    }
    if (listed !== null) {
      batch(() => {
        this.definition.value = definition;
        this.job.value = endedJob(job, listed);
        this.standing.value = "ended";
      });
      this.lines.isOfRun(listed.finished?.result?.logs?.[0]);
      await this.#readLog(stop, Number.MAX_SAFE_INTEGER);
      this.result.value ??= { outputs: await this.#sized(filesOf(listed, this.#options.hub), stop) };
      this.#over = true;
      return;
    }
    const live = held.length > 0;
    const reason = live ? null : await this.#reason(stop);
    batch(() => {
      this.definition.value = definition;
      this.job.value = live ? jobFrom({ id: job, rev: 0, state: "Running" }) : withoutResult(job, reason);
      this.standing.value = live ? "live" : "ended";
    });
    await this.#readLog(stop, live ? MOST_SLICES : Number.MAX_SAFE_INTEGER);
    this.#over = !live;
  }

  async #readLog(stop: AbortSignal, most: number): Promise<void> {
    for (const kind of KINDS) {
      for (let n = 0; n < most; n++) {
        const slice = await this.#json<Slice>(`${kind}-logs.json?since=${this.lines.cursor(kind)}`, stop);
        if (!this.lines.add(kind, slice)) break;
      }
    }
    this.logRead.value = true;
  }

  /** Why a job ended without a result, which is in the last event of its stream; null if that can't be had. */
  async #reason(stop: AbortSignal): Promise<string | null> {
    try {
      const limited = AbortSignal.any([stop, AbortSignal.timeout(REASON_MS)]);
      const reader = (await this.#ask("stream", { signal: limited })).body?.pipeThrough(new TextDecoderStream()).getReader();
      let last = "";
      for (let part = await reader?.read(); part !== undefined && !part.done; part = await reader?.read()) {
        last = (last + part.value).slice(-LAST_EVENT);
      }
      return /event: final\ndata: .*"reason":"(\w+)"/.exec(last)?.[1] ?? null;
    } catch (error) {
      if (stop.aborted) throw error;
      return null;
    }
  }

  /** Adds the sizes of the first files that the hub keeps, by which previews are chosen. */
  async #sized(files: Record<string, OutputFile>, stop: AbortSignal): Promise<Record<string, OutputFile>> {
    const names = Object.keys(files).sort().slice(0, MOST_SIZED);
    const found: Record<string, OutputFile> = { ...files };
    const next = async () => {
      for (let name = names.shift(); name !== undefined; name = names.shift()) {
        const file = files[name];
        if (file?.ref.type !== "key") continue;
        const answer = await this.#fetch(`${this.#options.hub}/f/${encodeURIComponent(String(file.ref.value))}`, { method: "HEAD", signal: stop });
        const size = Number(answer.headers.get("Content-Length") ?? 0);
        if (answer.ok) found[name] = { ...file, size };
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    return found;
  }

  async #data<T>(name: string, signal: AbortSignal): Promise<T> {
    return (await this.#json<{ data: T }>(name, signal)).data;
  }

  async #json<T>(name: string, signal: AbortSignal): Promise<T> {
    return (await (await this.#ask(name, { signal, headers: { Accept: "application/json" } })).json()) as T;
  }

  async #ask(name: string, init: RequestInit): Promise<Response> {
    const answer = await this.#fetch(`${this.#options.path}/${name}`, { ...init, cache: "no-store" });
    if (answer.ok) return answer;
    throw new HttpError(answer.status);
  }

  #fetch(url: string, init: RequestInit): Promise<Response> {
    return (this.#options.fetch ?? fetch)(url, init);
  }
}

class HttpError extends Error {
  constructor(status: number) {
    super(`The hub answered with HTTP status ${status}. The page asks again.`);
  }
}

function asProblem(error: unknown): string {
  return error instanceof HttpError ? error.message : "The hub can't be reached. The page asks again.";
}

/** The state of a job with a result. */
function endedJob(id: string, { queuedTime, finished }: ListedJob): Job {
  const run = finished?.result;
  const verdict: Verdict = {
    ...verdictOf(finished?.reason ?? "", run?.StatusCode),
    exit_code: run?.StatusCode ?? null,
    message: finished?.message ?? "",
    duration: run?.duration ?? 0,
    outputs: Object.keys(run?.outputs ?? {}).length,
  };
  const times = { queued: queuedTime, finished: finished?.time ?? 0 };
  return jobFrom({ id, rev: 0, state: "Finished", attempt: 1, worker: finished?.worker ?? "", ...times, verdict });
}

function withoutResult(id: string, reason: string | null): Job {
  const message = reason === null ? "The job ended without a result: it was cancelled, replaced or lost with its workers." : "";
  const verdict = reason === null ? null : { ...verdictOf(reason, undefined), message };
  return jobFrom({ id, rev: 0, state: "Finished", verdict: verdict ?? { ok: false, reason: "Cancelled", message } });
}

/** The outcome by its name in HTTP answers, in which a run that ended by itself is a success with any exit code. */
function verdictOf(reason: string, exitCode: number | undefined): { ok: boolean; reason: Reason } {
  if (reason === "Success") return exitCode === undefined || exitCode === 0 ? { ok: true, reason } : { ok: false, reason: "Failed" };
  return { ok: false, reason: reason === "JobReplacedByClient" ? "Replaced" : (reason as Reason) };
}

/** The files of a result; of those that the hub keeps, the ref names the content again, and not an address of it. */
function filesOf({ finished }: ListedJob, hub: string): Record<string, OutputFile> {
  // A hub below a path of a proxy that was not told its whole URL writes addresses without the path.
  const kept = [`${hub}/f/`, `${new URL(hub).origin}/f/`];
  const files = Object.entries(finished?.result?.outputs ?? {}).map(([name, ref]): [string, OutputFile] => {
    const value = String(ref.value);
    const file = { ref, size: 0, sha256: "", ...mediaTypeOf(name) };
    if (ref.type !== "url") return [name, { ...file, size: sizeOf(ref) }];
    const start = kept.find((each) => value.startsWith(each));
    if (start === undefined) return [name, file];
    const key = plain(value.slice(start.length));
    return [name, { ...file, ref: { type: "key", value: key }, sha256: SHA256.test(key) ? key : "" }];
  });
  return Object.fromEntries(files);
}

/** The size of a file that stands in the result itself, in bytes. */
function sizeOf({ type, value }: DataRef): number {
  if (type === "base64") return Math.floor((String(value).replace(/=+$/, "").length * 3) / 4);
  return new TextEncoder().encode(type === "json" ? JSON.stringify(value) : String(value)).length;
}
