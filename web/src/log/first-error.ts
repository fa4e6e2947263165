/**
 * The first line of a log that looks like an error, for pages that can't ask the hub. It is the hub's guess, in short
 * (`server/asman_server/logs/landmarks.py`): a line has the words of an error beside those that deny one.
 */

import { STDERR } from "../protocol/messages";
import { plainText } from "./ansi";
import type { JobLog } from "./job-log";

const NAMES = /\b[A-Z]\w*(?:Error|Exception)\b|\bFAIL\b|^\s*not ok\b|^npm ERR!|^E: |^! [A-Z]|^g?make(?:\[\d+\])?: \*\*\* /;
const WORDS =
  /\b(?:error|exception|fatal|panic|panicked|traceback|failed|failure|aborted|killed|[1-9]\d* errors)\b|segmentation fault|illegal instruction|core dumped|out of memory|no space left|no such file|not found|cannot find|can't (?:locate|open|find)|could not|permission denied|connection refused|undefined reference/i;
const DENIED =
  /(?:^|[^.\w=:])(?:no|0|zero|without(?: an?| any)?)\s+(?:\w+\s+)?(?:errors?|exceptions?|failures?|failed|fatal)\b|\b(?:errors?|exceptions?|failures?|failed)\b"?\s*[=:]\s*(?:none|null|nil|false|no|0)\b(?![.\d])|\bnon-?(?:fatal|error)\b|[\w./\\-]*\b(?:errors?|exceptions?|failures?|failed|fatal)(?:[-/\\]\w[\w./\\-]*|\.[a-z]{1,4}\b)|\w*warn(?:ing)?\b.*/gi;
/** Longest text of a line that is looked at, in characters. */
const LONGEST = 2000;

export function looksLikeError(text: string): boolean {
  const start = text.slice(0, LONGEST);
  if (!NAMES.test(start) && !WORDS.test(start)) return false;
  const rest = start.replace(DENIED, "");
  return NAMES.test(rest) || WORDS.test(rest);
}

/** The seq of that line, or of the first one on standard error; null if there is neither. */
export function firstError(log: JobLog): number | null {
  let written: number | null = null;
  for (let at = 0; at < log.length; at++) {
    if (looksLikeError(plainText(log.text(at)))) return log.line(at).seq;
    if (written === null && log.streamAt(at) === STDERR) written = log.line(at).seq;
  }
  return written;
}
