/**
 * Whether a job needs values that the page around it pipes in.
 *
 * A frame can't ask its parent which pipes lead to it. So the frame's own definition tells, in which authors of pages
 * list its inputs, or the job's texts: they name more of /inputs than files that the job brings with it. In doubt a job
 * needs values, as a run without them is worse than one that a person has to start.
 */

import { isObject, readJson } from "../job/address";
import type { DataRef, Definition } from "../protocol/messages";

/** A path below the folder of inputs, with what follows the folder's name; `../inputs` leads there from a working folder. */
const MENTION = /(?:(?<![\w.-])\/inputs|\.{1,2}\/+inputs|\$?\{?JOB_INPUTS\}?)(?!\w)(\/[^\s'"`;|&<>()]*)?/g;
/** The same as a path from the root folder, where a job may well start: most images do. */
const FROM_ROOT = /(?<![\w./~$}-])inputs(\/[^\s'"`;|&<>()]*)/g;
/** The folder's name alone, as an argument of a command that surely starts in the root folder. */
const ALONE = /(?<=^|[\s'"=])inputs(?=$|[\s'"`;|&<>()])/;
/** Characters with which a path stands for names that are known only when the job runs. */
const OPEN = /[$*?{[]/;

/** Whether the job needs values, by the `definition` of its URL, still encoded, and by its own texts. */
export function needsValues(encoded: string | undefined, job: Definition): boolean {
  return declaresInputs(encoded) || readsMissingFiles(job);
}

/** Whether the definition of a frame, as it stands in a URL, lists inputs. */
export function declaresInputs(encoded: string | undefined): boolean {
  if (encoded === undefined || encoded === "") return false;
  try {
    const told = readJson(encoded);
    return isObject(told) && isObject(told["inputs"]) && Object.keys(told["inputs"]).length > 0;
  } catch {
    return false;
  }
}

/** Whether the texts of a job name more of /inputs than files that it brings with it. */
export function readsMissingFiles(job: Definition): boolean {
  const refs = { ...job.inputs, ...job.configFiles };
  const own = Object.keys(refs).map((name) => name.replace(/^\/inputs\/|^\/+/, ""));
  const { texts, commands } = textsOf(job, Object.values(refs));
  const start = startOf(job);
  if (start === "/" && commands.some((text) => ALONE.test(text))) return true;
  const patterns = start === "/" || start === null ? [MENTION, FROM_ROOT] : [MENTION];
  return [...texts, ...commands].some((text) => patterns.some((pattern) => namesMore(text, pattern, own)));
}

function namesMore(text: string, pattern: RegExp, own: readonly string[]): boolean {
  for (const [, path = ""] of text.matchAll(pattern)) {
    const name = path.replace(/^\/+/, "").replace(/[/,:.]+$/, "");
    // The folder as a whole, or names that are known only when the job runs: more may be read than what is there.
    if (name === "" || OPEN.test(name)) return true;
    if (!own.some((each) => each === name || each.startsWith(`${name}/`))) return true;
  }
  return false;
}

/** The folder in which the job starts; null if its image decides. */
function startOf(job: Definition): string | null {
  const built = [...(job.build?.dockerfile ?? "").matchAll(/^\s*WORKDIR\s+(.+?)\s*$/gim)].at(-1)?.[1];
  const told = job.workdir || built?.replace(/^(["'])(.*)\1$/, "$2");
  if (!told) return null;
  const parts: string[] = [];
  for (const part of told.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

function textsOf(job: Definition, refs: readonly DataRef[]): { texts: string[]; commands: string[] } {
  const isText = (value: unknown): value is string => typeof value === "string";
  const { dockerfile = "", buildArgs = [] } = job.build ?? {};
  // What an image is made of comes from the build's context and from other images, which have folders of their own.
  const kept = dockerfile.replace(/^[ \t]*(?:COPY|ADD)[ \t](?:.*\\\r?\n)*.*$/gim, "");
  const texts: unknown[] = [job.workdir, kept, ...buildArgs, ...Object.values(job.env ?? {}), ...refs.flatMap(textsIn)];
  return { texts: texts.filter(isText), commands: [job.command, job.entrypoint].flat().filter(isText) };
}

/** The texts in a file that a definition brings; one that it names by an address or a hash can't be read here. */
function textsIn({ type = "utf8", value }: DataRef): string[] {
  if (type === "json") return stringsIn(value);
  if (typeof value !== "string") return [];
  if (type === "utf8") return [value];
  if (type !== "base64") return [];
  try {
    return [new TextDecoder().decode(Uint8Array.from(atob(value), (letter) => letter.charCodeAt(0)))];
  } catch {
    return [];
  }
}

/** All names and texts in a JSON value, however deeply they are nested. */
function stringsIn(value: unknown): string[] {
  const found: string[] = [];
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next === "string") found.push(next);
    else if (Array.isArray(next)) for (const each of next) open.push(each);
    else if (isObject(next)) for (const [name, each] of Object.entries(next)) open.push(name, each);
  }
  return found;
}
