/** Says line by line, for a person who decides about a job, what it will run. */

import type { Build, Definition, Step } from "../protocol/messages";
import { shellWord } from "./snippets";

export interface Line {
  readonly label: string;
  /** Whole texts of the definition, each on a line of its own; none if only the note says something. */
  readonly texts: readonly string[];
  readonly note: string;
}

/**
 * Lists all that a job runs. The definition may come from a link, so its values can be of any type.
 *
 * @param defaultImage The hub's image for definitions that name none; empty if there is none.
 */
export function asLines(definition: Definition, defaultImage: string): Line[] {
  const { image, build } = definition;
  const lines: Line[] = [];
  const add = (label: string, text: string, note = "") => lines.push({ label, texts: text === "" ? [] : [text], note });
  if (image) add("Image", asText(image));
  if (build) for (const [label, text] of buildLines(build)) add(label, text);
  if (!image && !build) {
    if (defaultImage !== "") add("Image", defaultImage, "the hub’s default, since the job names none");
    else add("Image", "", "none: it runs on the worker’s machine itself, if the worker does that");
  }
  const inImage = Boolean(image || build) || defaultImage !== "";
  lines.push(...commandLines(definition, inImage));
  if (Array.isArray(definition.volumes) && definition.volumes.length > 0) {
    lines.push({ label: "Volumes", texts: definition.volumes.map(asText), note: "" });
  }
  const steps: unknown[] = Array.isArray(definition.steps) ? definition.steps : [];
  for (const [index, step] of steps.entries()) {
    add(`Step ${index + 2}`, "", "after the one before has ended, in a container of its own");
    if (!isObject(step)) {
      add("Unknown", asText(step));
      continue;
    }
    if (step.image) add("Image", asText(step.image));
    else add("Image", "", "the job’s own");
    lines.push(...commandLines(step as Step, true), ...others(step, OF_STEP));
  }
  const files = [...Object.keys(definition.configFiles ?? {}), ...Object.keys(definition.inputs ?? {})];
  if (files.length > 0) lines.push({ label: "Files", texts: files.map(shellWord), note: "their contents are under Inputs" });
  lines.push(...others(definition as Readonly<Record<string, unknown>>, OF_JOB));
  return lines;
}

const OF_COMMAND = ["image", "command", "entrypoint", "workdir", "env", "stdin", "stdout", "stderr"];
/** The members of a job and of a step that have lines of their own, or that change nothing of what is run. */
const OF_STEP: ReadonlySet<string> = new Set([...OF_COMMAND, "ignoreFailure"]);
const OF_JOB: ReadonlySet<string> = new Set([
  ...OF_STEP,
  ...["v", "build", "shmSize", "inputs", "configFiles", "maxDuration", "tags", "requirements", "outputs", "volumes", "steps"],
]);

/** Members without a line of their own, as they are: no member that is added later runs unseen. */
function others(part: Readonly<Record<string, unknown>>, known: ReadonlySet<string>): Line[] {
  const unknown = Object.entries(part).filter(([name, value]) => !known.has(name) && value !== undefined && value !== null);
  return unknown.map(([name, value]) => ({ label: name, texts: [asText(value)], note: "" }));
}

function commandLines(part: Definition | Step, inImage: boolean): Line[] {
  const { command, entrypoint, workdir, env } = part;
  const lines: Line[] = [];
  const add = (label: string, text: string, note = "") => lines.push({ label, texts: text === "" ? [] : [text], note });
  // As engines do it: an empty list replaces the image's entrypoint, and with an entrypoint the image's command is not run.
  const cleared = Array.isArray(entrypoint) && entrypoint.length === 0;
  if (isGiven(entrypoint)) add("Entrypoint", asWords(entrypoint));
  else if (inImage) add("Entrypoint", "", cleared ? "none, and not the image’s own" : "the image’s own, if it has one");
  if (isGiven(command)) add("Command", asWords(command));
  else add("Command", "", inImage && !isGiven(entrypoint) ? "the image’s own" : "none");
  if (workdir) add("Working directory", asText(workdir));
  const variables = Object.entries(env ?? {});
  if (variables.length > 0) {
    lines.push({ label: "Variables", texts: variables.map(([name, value]) => `${name}=${shellWord(asText(value))}`), note: "" });
  }
  if (part.stdin) add("Standard input", asText(part.stdin));
  if (part.stdout) add("Standard output", asText(part.stdout));
  if (part.stderr) add("Standard error", asText(part.stderr));
  return lines;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function buildLines(build: Build): [label: string, text: string][] {
  const lines: [string, string][] = [];
  if (build.context) lines.push(["Build of", asText(build.context)]);
  if (build.buildContext) lines.push(["Build folder", asText(build.buildContext)]);
  if (build.filename) lines.push(["Dockerfile at", asText(build.filename)]);
  if (build.dockerfile) lines.push(["Dockerfile", asText(build.dockerfile)]);
  if (build.target) lines.push(["Target", asText(build.target)]);
  if (build.buildArgs) lines.push(["Build arguments", asWords(build.buildArgs)]);
  if (build.platform) lines.push(["Platform", asText(build.platform)]);
  return lines;
}

function isGiven(words: unknown): boolean {
  if (Array.isArray(words)) return words.length > 0;
  return words !== undefined && words !== null && !(typeof words === "string" && /^[ \t\r\n]*$/.test(words));
}

/** A command as a shell would read it; a list is quoted, so that its words can be told apart. */
function asWords(value: unknown): string {
  return Array.isArray(value) ? value.map((word) => shellWord(asText(word))).join(" ") : asText(value);
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}
