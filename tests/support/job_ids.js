// The ids of job definitions by both rules, written a second time and in JavaScript, for tests to compare with.
// usage: node job_ids.js < definitions.json   (an array; prints an array of [first, second], or null where refused)
"use strict";
const { createHash } = require("node:crypto");

const INJECTED = new Set(["channel", "CHANNEL", "readonly", "edit", "parent-metapage-id", "fs-path"]);
const sha256 = (text) => createHash("sha256").update(text, "utf8").digest("hex");
const BUCKET = "https://metaframe-asman-test.s3.us-west-1.amazonaws.com";
function cut({ type, value }) {
  if (type !== "url" || typeof value !== "string") return value;
  const before = value.split("/presignedurl/")[0];
  return value.startsWith(BUCKET) ? before.replace(/[?#].*$/s, "") : before;
}
const mapped = (object, change) => Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]));
const isMap = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

// JavaScript's own order of strings is that of their UTF-16 code units, and JSON.stringify writes its numbers.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (!isMap(value)) return JSON.stringify(value);
  const names = Object.keys(value).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

function first(definition) {
  const made = { ...definition };
  for (const name of ["inputs", "configFiles"]) {
    if (isMap(made[name])) {
      made[name] = mapped(made[name], (ref) => {
        const { hash, ...kept } = ref;
        if ("value" in kept) kept.value = cut(kept);
        return kept;
      });
    }
  }
  if (isMap(made.env)) {
    made.env = { ...made.env };
    for (const name of ["channel", "CHANNEL"]) if (made.env[name]) delete made.env[name];
  }
  return sha256(canonical(made));
}

function members(object, names) {
  const kept = names.filter((name) => object?.[name] !== undefined && object[name] !== null);
  return Object.fromEntries(kept.map((name) => [name, object[name]]));
}

function second(definition) {
  const made = members(definition, [
    "v", "image", "command", "entrypoint", "workdir", "shmSize", "maxDuration", "tags",
  ]);
  const parts = {
    build: members(definition.build, [
      "context", "buildContext", "filename", "target", "dockerfile", "buildArgs", "platform",
    ]),
    requirements: members(definition.requirements, ["cpus", "gpus", "maxDuration", "memory"]),
    env: Object.fromEntries(
      Object.entries(definition.env ?? {}).filter(([name]) => !INJECTED.has(name) && !/^mp[-_]/.test(name)),
    ),
  };
  for (const name of ["inputs", "configFiles"]) {
    parts[name] = mapped(definition[name] ?? {}, (ref) => ({ value: cut(ref), ...members(ref, ["type"]) }));
  }
  for (const [name, part] of Object.entries(parts)) if (Object.keys(part).length) made[name] = part;
  return sha256(canonical(made));
}

let text = "";
process.stdin.setEncoding("utf8");
process.stdin.on("data", (chunk) => (text += chunk));
process.stdin.on("end", () => {
  const found = JSON.parse(text).map((definition) => [first(definition), second(definition)]);
  process.stdout.write(JSON.stringify(found));
});
