/** The log of a job: every line in order, holes said, and the tail in view unless a person scrolled away from it. */

import { useSignal } from "@preact/signals";
import { Component } from "preact";
import { useCallback, useLayoutEffect, useRef } from "preact/hooks";
import { STDERR, SYSTEM } from "../protocol/messages";
import { isOver, type Job } from "../state/job";
import type { Chunk, Hole, Line } from "../state/log";
import type { OpenJob } from "../state/session";
import { count, fullTime, plainLine, plural } from "../text/format";

/** Pixels from the end within which the view counts as being at the end. */
const NEAR_END = 24;

export function LogView({ open, job }: { open: OpenJob; job: Job }) {
  const { box, content, following, scrolled, toEnd } = useTail();
  const wrap = useSignal(true);
  const chunks = open.log.chunks.value;
  const next = open.log.next.value;

  const owed = job.state === "Finished" ? (job.verdict?.lines ?? 0) - next : 0;
  return (
    <section aria-labelledby="log-title">
      <div class="log-head">
        <h2 id="log-title">
          Log <span class="muted">{next > 0 && plural(next, "line")}</span>
        </h2>
        <button type="button" class="quiet" aria-pressed={wrap.value} onClick={() => (wrap.value = !wrap.value)}>
          Wrap
        </button>
        <button type="button" class="quiet" aria-pressed={following.value} onClick={toEnd}>
          Follow
        </button>
      </div>
      <div
        class={`log ${wrap.value ? "wrap" : ""}`}
        data-testid="log"
        ref={box}
        onScroll={scrolled}
        role="log"
        aria-live="off"
        aria-labelledby="log-title"
        tabIndex={0}
      >
        <div ref={content}>
          {chunks.map((chunk) => (
            <ChunkView key={chunk.key} chunk={chunk} />
          ))}
        </div>
        {chunks.length === 0 && owed <= 0 && <div class="log-note">{emptySentence(job)}</div>}
        {owed > 0 && (
          <div class="log-note">
            {open.endAsked ? `The last ${plural(owed, "line")} are not kept.` : `${plural(owed, "more line")} to come…`}
          </div>
        )}
      </div>
    </section>
  );
}

/**
 * Keeps the end of a growing box in view until a person scrolls up, and again once they are back at the end.
 *
 * Heights also change without new lines: the browser only estimates what is out of sight. So the end is held whenever
 * the content's size changes, and only a scroll upwards over content that did not change is a person's.
 */
function useTail() {
  const box = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const following = useSignal(true);
  const last = useRef({ top: 0, height: 0 });

  const toEnd = useCallback(() => {
    following.value = true;
    const element = box.current;
    if (element === null) return;
    element.scrollTop = element.scrollHeight;
    last.current = { top: element.scrollTop, height: element.scrollHeight };
  }, [following]);

  const scrolled = useCallback(() => {
    const element = box.current;
    if (element === null) return;
    const { scrollTop: top, scrollHeight: height, clientHeight } = element;
    const before = last.current;
    last.current = { top, height };
    if (height - top - clientHeight < NEAR_END) following.value = true;
    else if (top < before.top && height === before.height) following.value = false;
  }, [following]);

  useLayoutEffect(() => {
    if (content.current === null) return undefined;
    const observer = new ResizeObserver(() => {
      if (following.peek()) toEnd();
    });
    observer.observe(content.current);
    return () => observer.disconnect();
  }, [following, toEnd]);

  return { box, content, following, scrolled, toEnd };
}

function emptySentence(job: Job): string {
  if (job.state === "Queued") return "Lines appear here as soon as the job runs.";
  return isOver(job) ? "The job wrote nothing." : "Nothing written yet.";
}

/** Chunks that are full never change, so they are drawn once; the browser skips those out of sight. */
class ChunkView extends Component<{ chunk: Chunk }> {
  override shouldComponentUpdate(next: { chunk: Chunk }) {
    return next.chunk !== this.props.chunk;
  }

  override render() {
    const { chunk } = this.props;
    return (
      <div class={`chunk ${chunk.lines.length >= 100 ? "far" : ""}`}>
        {chunk.before !== null && <HoleView hole={chunk.before} />}
        {chunk.lines.map((line) => (
          <LineView key={line.seq} line={line} />
        ))}
      </div>
    );
  }
}

function HoleView({ hole }: { hole: Hole }) {
  const n = hole.to - hole.from;
  const which = `${plural(n, "line")} (${count(hole.from + 1)} to ${count(hole.to)})`;
  const words = {
    missing: `Fetching ${which}…`,
    lost: `${which} not kept: the log was longer than the hub keeps.`,
    left: `${which} not shown: the page holds the newest lines only.`,
  };
  return (
    <div class="log-note" data-testid="log-gap">
      {words[hole.kind]}
    </div>
  );
}

function LineView({ line }: { line: Line }) {
  const kind = line.stream === STDERR ? "err" : line.stream === SYSTEM ? "sys" : "out";
  return (
    <div class={`line ${kind}`} data-testid="log-line" data-seq={line.seq} data-stream={kind} title={fullTime(line.time)}>
      <span class="seq" aria-hidden="true" data-n={line.seq + 1} />
      {kind === "err" && <span class="offscreen">error output: </span>}
      {line.phase !== "running" && kind !== "sys" && <span class="phase-tag">{line.phase}</span>}
      <span class="text" data-testid="log-text">
        {plainLine(line.text)}
      </span>
    </div>
  );
}
