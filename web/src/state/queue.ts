/**
 * The page's copy of one queue: jobs, workers and counts. Each is a signal, so that a change redraws only the parts
 * that depend on it.
 *
 * The store does no I/O: it applies messages to signals. The session sends the requests.
 */

import { batch, type Signal, signal } from "@preact/signals";
import type { Counts, JobState, Push, WorkerState } from "../protocol/messages";
import { type Job, jobFrom, newer } from "./job";

/** Most jobs in the list; the table says when there are more. */
export const KEPT = 50_000;

export class QueueStore {
  /** Ids of the listed jobs, newest first. */
  readonly order: Signal<readonly string[]> = signal([]);
  readonly workers: Signal<readonly WorkerState[]> = signal([]);
  readonly counts: Signal<Required<Counts>> = signal({ queued: 0, running: 0, finished: 0, workers: 0, paused: false });
  /** Whether the first page of jobs has arrived. */
  readonly listed: Signal<boolean> = signal(false);
  /** The cursor of the next older page; null when there is none to load. */
  readonly next: Signal<number | null> = signal(null);
  /** Whether the hub has jobs older than the listed ones. */
  readonly more: Signal<boolean> = signal(false);
  /** Whether the list has reached its limit, so that older jobs are left out. */
  readonly full: Signal<boolean> = signal(false);

  readonly #jobs = new Map<string, Signal<Job>>();
  /** Id of the open job, which is kept up to date even if it is not listed. */
  pinned: string | null = null;
  /** Ids that are in `order`. */
  readonly #listedIds = new Set<string>();
  readonly #workers = new Map<string, WorkerState>();

  /** The job with this id, if it is known. */
  job(id: string): Signal<Job> | undefined {
    return this.#jobs.get(id);
  }

  /** Applies pushes in order, in one batch of signal changes. */
  apply(pushes: readonly Push[]): void {
    batch(() => {
      const fresh: string[] = [];
      const gone = new Set<string>();
      let workersMoved = false;
      for (const push of pushes) {
        switch (push.type) {
          case "changed":
            this.#changed(push.job, fresh, gone);
            break;
          case "worker_changed":
            workersMoved = this.#workerChanged(push.worker) || workersMoved;
            break;
          case "counts":
            this.setCounts(push.counts);
            break;
          case "progress":
          case "log":
            break;
        }
      }
      if (fresh.length > 0 || gone.size > 0) this.#reorder(fresh.reverse(), gone, true);
      if (workersMoved) this.#showWorkers();
    });
  }

  /** Updates a job from an answer, without adding it to the list. */
  learn(wire: JobState): Signal<Job> {
    const known = this.#jobs.get(wire.id);
    if (known === undefined) {
      const made = signal(jobFrom(wire));
      this.#jobs.set(wire.id, made);
      return made;
    }
    if (newer(wire, known.value)) known.value = jobFrom(wire, known.value);
    else if (known.value.summary === null && wire.summary) known.value = { ...known.value, summary: wire.summary };
    return known;
  }

  /** Adds a page of jobs, newest first; returns how many were new to the list. */
  addPage(jobs: readonly JobState[], next: number | null): number {
    return batch(() => {
      const fresh: string[] = [];
      for (const wire of jobs) {
        this.learn(wire);
        if (!this.#listedIds.has(wire.id)) fresh.push(wire.id);
      }
      this.#reorder(fresh, new Set(), false);
      this.next.value = this.full.value ? null : next;
      this.more.value = this.full.value || next !== null;
      this.listed.value = true;
      return fresh.length;
    });
  }

  /** Replaces the list by the newest page; earlier state may be outdated after a restart of the hub. */
  replace(jobs: readonly JobState[], next: number | null): void {
    batch(() => {
      const before = new Map(this.#jobs);
      this.#jobs.clear();
      this.#listedIds.clear();
      for (const wire of jobs) {
        // A drawn row depends on its signal, so the signal is kept.
        const known = before.get(wire.id);
        if (known !== undefined) {
          known.value = jobFrom(wire, known.value);
          this.#jobs.set(wire.id, known);
        }
      }
      this.order.value = [];
      this.full.value = false;
      this.addPage(jobs, next);
    });
  }

  setCounts(counts: Counts): void {
    const { queued = 0, running = 0, finished = 0, workers = 0, paused = false } = counts;
    this.counts.value = { queued, running, finished, workers, paused };
  }

  replaceWorkers(workers: readonly WorkerState[]): void {
    this.#workers.clear();
    for (const worker of workers) if (worker.state !== "gone") this.#workers.set(worker.id, worker);
    this.#showWorkers();
  }

  /** The name of the worker with this id; the id itself if it is not known. */
  workerName(id: string): string {
    return this.workers.value.find((worker) => worker.id === id)?.name || id;
  }

  #changed(wire: JobState, fresh: string[], gone: Set<string>): void {
    const known = this.#jobs.get(wire.id);
    if (known !== undefined && !newer(wire, known.value)) return;
    if (known === undefined && wire.id !== this.pinned && !this.#belongs(wire)) return;
    const queuedBefore = known?.value.queued;
    const job = this.learn(wire).value;
    if (job.state === "Removed") {
      gone.add(wire.id);
    } else if (!this.#listedIds.has(wire.id)) {
      gone.delete(wire.id);
      if (this.#belongs(wire)) fresh.push(wire.id);
    } else if (queuedBefore !== job.queued) {
      // A new run of a known job moves it in the list.
      gone.add(wire.id);
      fresh.push(wire.id);
    }
  }

  /** Whether a job belongs in the list; one older than the listed ones comes with its page. */
  #belongs(wire: JobState): boolean {
    if (wire.state === "Removed") return false;
    if (!this.more.value) return true;
    const last = this.order.value.at(-1);
    return last === undefined || (wire.queued ?? 0) >= this.#queued(last);
  }

  #listable(id: string): boolean {
    const job = this.#jobs.get(id);
    return job !== undefined && job.value.state !== "Removed";
  }

  #queued(id: string): number {
    return this.#jobs.get(id)?.value.queued ?? 0;
  }

  /**
   * Adds and removes jobs in the list.
   *
   * @param ahead Whether a fresh job goes before a listed job of the same time.
   */
  #reorder(fresh: readonly string[], gone: ReadonlySet<string>, ahead: boolean): void {
    const kept = gone.size === 0 ? this.order.value : this.order.value.filter((id) => !gone.has(id));
    for (const id of gone) {
      this.#listedIds.delete(id);
      if (this.#jobs.get(id)?.value.state === "Removed" && id !== this.pinned) this.#jobs.delete(id);
    }
    const added = [...new Set(fresh)].filter((id) => !this.#listedIds.has(id) && this.#listable(id));
    for (const id of added) this.#listedIds.add(id);
    const newest = (a: string, b: string) => this.#queued(b) - this.#queued(a);
    let order = merge(kept, added.sort(newest), newest, ahead);
    if (order.length > KEPT) {
      for (const id of order.slice(KEPT)) {
        this.#listedIds.delete(id);
        if (id !== this.pinned) this.#jobs.delete(id);
      }
      order = order.slice(0, KEPT);
      // The cursor is below the jobs that were dropped, so the list must end here.
      this.next.value = null;
      this.more.value = true;
      this.full.value = true;
    }
    this.order.value = order;
  }

  /** Whether the queue, once it is listed, has nothing: no worker, and no job that is kept. */
  get empty(): boolean {
    const { queued, running, finished } = this.counts.value;
    return this.listed.value && this.order.value.length === 0 && this.workers.value.length === 0 && queued + running + finished === 0;
  }

  #workerChanged(worker: WorkerState): boolean {
    const known = this.#workers.get(worker.id);
    if (known !== undefined && worker.rev <= known.rev) return false;
    if (worker.state === "gone") return this.#workers.delete(worker.id);
    this.#workers.set(worker.id, worker);
    return true;
  }

  #showWorkers(): void {
    this.workers.value = [...this.#workers.values()].sort(
      (a, b) => (a.name ?? "").localeCompare(b.name ?? "") || a.id.localeCompare(b.id),
    );
  }
}

/** Merges two sorted lists; among equals, those of `added` go first when `ahead`. */
function merge(
  kept: readonly string[],
  added: readonly string[],
  compare: (a: string, b: string) => number,
  ahead: boolean,
): string[] {
  const merged: string[] = [];
  let at = 0;
  for (const id of added) {
    for (; at < kept.length; at++) {
      const next = kept[at] as string;
      const order = compare(next, id);
      if (order > 0 || (order === 0 && ahead)) break;
      merged.push(next);
    }
    merged.push(id);
  }
  return merged.concat(kept.slice(at));
}
