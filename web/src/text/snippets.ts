/** Builds snippets that run a job from the command line, Python, curl or another page. */

import type { Definition } from "../protocol/messages";

/** Quotes a word for a POSIX shell. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A command line for a queue by its variable, because all users of a machine can read its arguments. */
export function withQueue(queueUrl: string, command: string): string {
  return `ASMAN_QUEUE=${shellWord(queueUrl)} ${command}`;
}

export function cliSnippet(queueUrl: string, definition: Definition): string {
  const words = ["asman", "job", "add", "--wait"];
  if (definition.image) words.push("-i", definition.image);
  if (typeof definition.command === "string") words.push("-c", definition.command);
  for (const [name, value] of Object.entries(definition.env ?? {})) words.push("-e", `${name}=${value}`);
  const { cpus, memory, gpus } = definition.requirements ?? {};
  if (cpus !== undefined) words.push("--cpus", String(cpus));
  if (memory !== undefined) words.push("-m", memory);
  if (gpus !== undefined) words.push("--gpus", String(gpus));
  for (const tag of definition.tags ?? []) words.push("--tag", tag);
  if (definition.maxDuration) words.push("--timeout", definition.maxDuration);
  return withQueue(queueUrl, words.map(shellWord).join(" "));
}

/** Whether the command line can express the whole definition. */
export function cliSaysAll(definition: Definition): boolean {
  const { build, inputs, configFiles, entrypoint, workdir, shmSize, command } = definition;
  return ![build, inputs, configFiles, entrypoint, workdir, shmSize].some(Boolean) && !Array.isArray(command);
}

export function curlSnippet(queueUrl: string, definition: Definition): string {
  return `curl -X POST ${shellWord(`${queueUrl}/jobs?wait=60s`)} -H 'Content-Type: application/json' -d ${shellWord(JSON.stringify({ definition }))}`;
}

export function pythonSnippet(queueUrl: string, definition: Definition): string {
  const given = Object.entries(definition).filter(
    ([name, value]) => value !== undefined && value !== null && !(name === "env" && Object.keys(value as object).length === 0),
  );
  // What most jobs have reads best as arguments; anything else is passed on as it is, so that nothing is lost.
  const plain = given.every(([name]) => name === "image" || name === "command");
  const call = plain ? given.map(([name, value]) => `${name}=${pythonValue(value)}`).join(", ") : pythonValue(Object.fromEntries(given));
  return `import asyncio, asman

async def main():
    async with asman.connect(${JSON.stringify(queueUrl)}) as queue:
        job = await queue.submit(${call})
        print(await job.result())

asyncio.run(main())`;
}

/** A JSON value as Python writes it. */
function pythonValue(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(pythonValue).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value).filter(([, each]) => each !== undefined);
  return `{${members.map(([name, each]) => `${JSON.stringify(name)}: ${pythonValue(each)}`).join(", ")}}`;
}

export function frameSnippet(url: string): string {
  return `<iframe src="${url.replaceAll("&", "&amp;").replaceAll('"', "&quot;")}" width="100%" height="600" allow="clipboard-write; fullscreen"></iframe>`;
}
