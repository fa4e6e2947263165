/**
 * Adds files to a job: short texts are kept in the URL, all other files are uploaded to the hub and named by their
 * sha256.
 */

import { type Signal, signal } from "@preact/signals";
import { sentence } from "../protocol/errors";
import type { DataRef } from "../protocol/messages";
import type { JobEditor } from "./job-editor";
import type { Session } from "./session";
import { type Progress, upload } from "./upload";

export interface Incoming {
  /** Path below the job's inputs folder. */
  name: string;
  blob: Blob;
}

export interface Upload {
  readonly name: string;
  readonly blob: Blob;
  readonly progress: Signal<Progress>;
  readonly problem: Signal<string | null>;
  readonly stop: AbortController;
}

/** Largest text that is kept in the URL, in bytes. */
export const TEXT_BYTES = 8 * 1024;
/** Largest total of texts in the URL, in bytes. */
const TEXTS_BYTES = 64 * 1024;
/** Largest text that is edited here, in bytes. */
export const EDITED_BYTES = 256 * 1024;
/** Most files of one job. */
const MOST_FILES = 10_000;
/** Number of concurrent uploads. */
const AT_ONCE = 2;

export class JobFiles {
  readonly uploads: Signal<readonly Upload[]> = signal([]);
  readonly problem: Signal<string | null> = signal(null);
  /** Texts that this page uploaded or fetched, by sha256, so that editing them needs no download. */
  readonly texts = new Map<string, string>();
  /** Sizes of files on the hub in bytes, by sha256, as far as they are known. */
  readonly sizes: Signal<ReadonlyMap<string, number>> = signal(new Map());
  #running = 0;
  readonly #waiting: Upload[] = [];

  constructor(
    private readonly editor: JobEditor,
    private readonly session: Session,
    private readonly hub: string,
  ) {}

  /** Adds files that a person dropped, pasted or picked. */
  async add(files: readonly Incoming[]): Promise<void> {
    this.problem.value = null;
    const { job, files: texts } = this.editor.draft();
    const before = Object.keys(job.inputs ?? {}).length + Object.keys(texts).length;
    if (before + files.length > MOST_FILES) {
      this.problem.value = `A job can have at most ${MOST_FILES} files; this would make ${before + files.length}. Pack them into an archive.`;
      return;
    }
    for (const { name, blob } of files) {
      const text = await this.#asText(blob);
      if (text !== null) this.putText(clean(name), text);
      else this.#send(clean(name), blob);
    }
  }

  /** Sets a text; one that is too long for the URL is uploaded. */
  putText(name: string, text: string): void {
    const others = Object.entries(this.editor.draft().files).reduce((sum, [key, each]) => sum + (key === name ? 0 : each.length), 0);
    if (text.length <= TEXT_BYTES && others + text.length <= TEXTS_BYTES) {
      this.#cancelAll(name);
      this.editor.edit(`file ${name}`, ({ job, files }) => ({ job: without(job, name), files: { ...files, [name]: text } }));
    } else this.#send(name, new Blob([text], { type: "text/plain" }), text);
  }

  remove(name: string): void {
    this.editor.edit("", ({ job, files }) => {
      const left = { ...files };
      delete left[name];
      return { job: without(job, name), files: left };
    });
  }

  rename(before: string, name: string): void {
    this.editor.edit(`name ${before}`, ({ job, files }) => {
      const moved = Object.fromEntries(Object.entries(files).map(([key, text]) => [key === before ? clean(name) : key, text]));
      const move = (refs: Record<string, DataRef> | undefined) =>
        refs && Object.fromEntries(Object.entries(refs).map(([key, ref]) => [key === before ? clean(name) : key, ref]));
      const { inputs, configFiles } = job;
      return { job: { ...job, ...(inputs && { inputs: move(inputs) ?? {} }), ...(configFiles && { configFiles: move(configFiles) ?? {} }) }, files: moved };
    });
  }

  /** Fetches a file from the hub to edit it. Only what is text as it stands is edited: all else would be changed by that. */
  async read(sha256: string): Promise<string> {
    const known = this.texts.get(sha256);
    if (known !== undefined) return known;
    const { links } = await this.session.ask("get_blobs", { keys: [sha256] });
    const link = links[0];
    if (!link?.url) throw new Error("The hub no longer has this file. Add it again.");
    const bytes = link.size ?? 0;
    this.#noteSize(sha256, bytes);
    if (bytes > EDITED_BYTES)
      throw new Error(`This file has more than the ${EDITED_BYTES / 1024} KiB that can be edited here. To change it, add a file of the same name.`);
    const answer = await fetch(new URL(link.url, this.hub));
    if (!answer.ok) throw new Error(`The file could not be fetched (HTTP status ${answer.status}).`);
    const text = textOf(await answer.arrayBuffer());
    if (text === null) throw new Error("This file is not text in UTF-8, so it can't be edited here. To change it, add a file of the same name.");
    this.texts.set(sha256, text);
    return text;
  }

  #noteSize(sha256: string, bytes: number): void {
    if (this.sizes.peek().get(sha256) !== bytes) this.sizes.value = new Map(this.sizes.peek()).set(sha256, bytes);
  }

  cancel(one: Upload): void {
    one.stop.abort();
    this.#drop(one);
  }

  /** Cancels what would replace a newer file or text of this name. */
  #cancelAll(name: string): void {
    for (const older of this.uploads.peek()) if (older.name === name) this.cancel(older);
  }

  again(one: Upload): void {
    this.#drop(one);
    this.#send(one.name, one.blob);
  }

  /** Uploads bytes and returns their ref. */
  async store(blob: Blob, onProgress: (progress: Progress) => void = () => undefined, stop = new AbortController()): Promise<DataRef> {
    const ask = this.session.ask.bind(this.session);
    return { type: "key", value: await upload(blob, { ask, hub: this.hub }, onProgress, stop.signal) };
  }

  #send(name: string, blob: Blob, text?: string): void {
    this.#cancelAll(name);
    const one: Upload = {
      name,
      blob,
      progress: signal({ stage: "reading", done: 0 }),
      problem: signal(null),
      stop: new AbortController(),
    };
    this.uploads.value = [...this.uploads.peek(), one];
    this.editor.uploading.value += 1;
    this.#waiting.push(one);
    void this.#work(text);
  }

  async #work(text?: string): Promise<void> {
    if (this.#running >= AT_ONCE) return;
    this.#running += 1;
    for (let one = this.#waiting.shift(); one !== undefined; one = this.#waiting.shift()) {
      const { name, blob, progress, problem, stop } = one;
      if (stop.signal.aborted) continue;
      try {
        const ref = await this.store(blob, (now) => (progress.value = now), stop);
        if (text !== undefined) this.texts.set(String(ref.value), text);
        this.#noteSize(String(ref.value), blob.size);
        if (!stop.signal.aborted) {
          this.editor.edit(`file ${name}`, ({ job, files }) => {
            const left = { ...files };
            delete left[name];
            return { job: { ...without(job, name), inputs: { ...without(job, name).inputs, [name]: ref } }, files: left };
          });
          this.#drop(one);
        }
      } catch (error) {
        if (!stop.signal.aborted) {
          problem.value = sentence(error);
          this.editor.uploading.value -= 1;
        }
      }
    }
    this.#running -= 1;
  }

  #drop(one: Upload): void {
    if (!this.uploads.peek().includes(one)) return;
    if (one.problem.peek() === null) this.editor.uploading.value -= 1;
    this.uploads.value = this.uploads.peek().filter((each) => each !== one);
  }

  /** The text of a short file; null when the file is long or not text. */
  async #asText(blob: Blob): Promise<string | null> {
    return blob.size > TEXT_BYTES ? null : textOf(await blob.arrayBuffer());
  }
}

/** The text that some bytes are in UTF-8; null when they are not text. */
function textOf(bytes: ArrayBuffer): string | null {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}

/** Normalizes a file name for a job. */
function clean(name: string): string {
  return name.trim().replaceAll("\\", "/").replace(/^(\.?\/)+/, "").replace(/\/+/g, "/");
}

function without<T extends { inputs?: Record<string, DataRef>; configFiles?: Record<string, DataRef> }>(job: T, name: string): T {
  const left = { ...job };
  for (const field of ["inputs", "configFiles"] as const) {
    const refs = left[field];
    if (refs?.[name] === undefined) continue;
    const kept = { ...refs };
    delete kept[name];
    left[field] = kept;
  }
  return left;
}
