/**
 * The log of a job. Only visible lines are drawn, however many there are; missing lines are reported; and the view
 * follows the end of the log until a person scrolls away from it.
 */

import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { type Group, LINE, LogLayout, type Row } from "../log/layout";
import { plainText } from "../log/ansi";
import { LogSearch } from "../log/search";
import { type AttemptStart, Attempts, attemptsOf } from "../log/attempts";
import { sentence } from "../protocol/errors";
import { isOver, type Job } from "../state/job";
import type { Hole, JobLog } from "../log/job-log";
import { remembered } from "../state/remembered";
import { count, duration, plural, shortId } from "../text/format";
import { PHASE_NOUNS } from "../text/words";
import { CopyButton } from "./copy";
import { saveText } from "../files/download";
import { useKeys } from "./keys";
import { embedded } from "./navigation";
import { LineView } from "./log-line";

/** Distance from the end within which the view counts as being at the end, in pixels. */
const NEAR_END = 24;
/** Height drawn above and below the visible part, in pixels. */
const OVER = 360;
/** Space above the first line and below the last, in pixels. */
const PAD = 6;
/** Largest height of a box that browsers allow, in pixels; a longer log is scrolled in larger steps. */
const MOST_PIXELS = 15_000_000;

const wrap = remembered("log.wrap", true);
const times = remembered("log.times", false);

/** What a page offers beside the lines of a log. */
export interface LogOffers {
  /** The link to a line, by the number that is shown beside it; null where lines have no links. */
  lineHref: ((line: number) => string) | null;
  /** Asks for the seq of the first line that looks like an error; null where nobody can be asked. */
  firstError: (() => Promise<number | null>) | null;
  /** Fetches the whole log as text; null if nothing has more of it than the page. */
  wholeText: (() => Promise<string>) | null;
}

export interface LogViewProps {
  log: JobLog;
  offers: LogOffers;
  job: Job;
  /** Whether the hub answered that it has no more of the log. */
  endAsked: boolean;
  /** The number of the line that the URL names; null for none. */
  line: number | null;
}

export function LogView({ log, offers, job, endAsked, line }: LogViewProps) {
  const layout = useMemo(() => new LogLayout(log), [log]);
  const search = useMemo(() => new LogSearch(log), [log]);
  const folds = useSignal<ReadonlyMap<number, boolean>>(new Map());
  const view = useSignal({ top: 0, height: 320, columns: 100 });
  const following = useSignal(line === null);
  /** The seq of the line to show next; null once it is shown. */
  const wanted = useSignal<number | null>(line === null ? null : line - 1);
  const marked = useSignal(line === null ? -1 : line - 1);
  const note = useSignal<string | null>(null);
  const attempts = useMemo(() => new Attempts(log), [log]);
  const current = useSignal(-1);
  const seen = useRef(0);
  const rested = useRef(0); // scroll position of the box when it last moved
  const box = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const version = log.version.value;

  const owed = job.state === "Finished" ? (job.verdict?.lines ?? 0) - log.next.value : 0;

  const isFolded = (group: Group) => folds.value.get(group.index) ?? foldedByItself(group, layout.groups, job);
  layout.update(wrap.value ? view.value.columns : 0, isFolded);
  const total = layout.height + 2 * PAD;
  const shown = Math.min(total, MOST_PIXELS);
  const room = view.value.height;
  const scale = shown > room ? (total - room) / (shown - room) : 1;
  const scroll = following.value ? Math.max(0, shown - room) : view.value.top;
  const top = scroll * scale;
  const { top: first, rows } = layout.window(top - OVER - PAD, top + room + OVER);
  if (following.value) seen.current = log.next.peek();

  // Measure the visible height and the number of characters that fit into a line.
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => {
      const probe = element.querySelector<HTMLElement>(".probe");
      const letter = (probe?.offsetWidth ?? 0) / 100 || 7.5;
      const gutter = probe?.offsetLeft ?? 60;
      view.value = {
        top: element.scrollTop,
        height: element.clientHeight,
        columns: Math.max(20, Math.floor((element.clientWidth - gutter - 14) / letter)),
      };
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [view, times.value]);

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return;
    if (following.value && Math.abs(element.scrollTop - (shown - room)) > 1) {
      element.scrollTop = shown;
      rested.current = element.scrollTop;
    }
    if (!wrap.value) return;
    // Characters of unusual width wrap at unexpected places, so the estimate is corrected by the drawn height.
    let corrected = false;
    for (const line of element.querySelectorAll<HTMLElement>(".line[data-at]")) {
      corrected = layout.correct(Number(line.dataset["at"]), line.offsetHeight) || corrected;
    }
    if (corrected) log.version.value += 1;
  });

  useEffect(() => () => search.stop(), [search]);
  useEffect(() => search.more(), [search, version]);

  const toEnd = () => {
    following.value = true;
  };
  const pause = () => {
    following.value = false;
  };
  const scrolled = () => {
    const element = box.current;
    if (element === null) return;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END;
    // Follow only after a move down: the event of our own scrolling may arrive after a person paused.
    if (atEnd && element.scrollTop > rested.current) following.value = true;
    rested.current = element.scrollTop;
    if (!following.value || !atEnd) view.value = { ...view.value, top: element.scrollTop };
  };
  const goTo = (n: number) => {
    const found = search.found.value;
    if (found.length === 0) return;
    current.value = (n + found.length) % found.length;
    showLine(found[current.value] as number);
  };
  const showLine = (at: number) => {
    const group = layout.groupOf(at);
    if (group !== undefined && isFolded(group)) {
      folds.value = new Map(folds.value).set(group.index, false);
      layout.update(wrap.value ? view.value.columns : 0, (other) => other.index !== group.index && isFolded(other));
    }
    following.value = false;
    const height = layout.height + 2 * PAD;
    const whole = Math.min(height, MOST_PIXELS);
    const by = whole > room ? (height - room) / (whole - room) : 1;
    const element = box.current;
    if (element === null) return;
    element.scrollTop = Math.max(0, (layout.topOf(at) ?? 0) + PAD - room / 2) / by;
    view.value = { ...view.value, top: element.scrollTop };
  };
  const showSeq = (seq: number) => {
    following.value = false;
    marked.value = seq;
    wanted.value = seq;
  };
  // The URL may name another line of the same log: a click on its number, or the back button.
  useEffect(() => {
    if (line !== null && line - 1 !== marked.peek()) showSeq(line - 1);
  }, [line]);
  useLayoutEffect(() => {
    const seq = wanted.value;
    if (seq === null || (log.next.peek() <= seq && !isOver(job))) return;
    const at = log.find(seq);
    if (at >= log.length) {
      if (owed <= 0 && log.length > 0) note.value = `The log has no line ${count(seq + 1)}.`;
      return;
    }
    // The height is known once the box has been measured.
    if (box.current !== null && box.current.clientHeight !== room) return;
    wanted.value = null;
    showLine(at);
  });
  const firstError = () => {
    note.value = null;
    offers.firstError?.().then(
      (seq) => {
        if (seq === null) note.value = "No line of this log looks like an error.";
        else showSeq(seq);
      },
      (error: unknown) => (note.value = sentence(error)),
    );
  };
  const next = (step: number) => {
    if (current.value >= 0) goTo(current.value + step);
    else goTo(firstInSight(search.found.value, rows));
  };

  const failed = offers.firstError !== null && job.state === "Finished" && job.verdict?.ok === false;
  useKeys([
    { key: "/", says: "Search in the log", act: () => field.current?.focus() },
    { key: "f", says: "Follow the end of the log", act: toEnd },
    { key: "w", says: "Wrap long lines", act: () => (wrap.value = !wrap.value) },
    ...(failed ? [{ key: "e", says: "Go to the first error in the log", act: firstError }] : []),
    { key: "t", says: "Show the time of each line", act: () => (times.value = !times.value) },
  ]);

  const here = search.found.value[current.value];
  const fresh = log.next.value - seen.current;
  return (
    <section aria-labelledby="log-title" class="log-section">
      <div class="log-head">
        <h2 id="log-title">
          Log <span class="muted">{log.next.value > job.logStart && plural(log.next.value - job.logStart, "line")}</span>
        </h2>
        <SearchField search={search} field={field} current={current.value} onWords={() => (current.value = -1)} onNext={next} />
        <div class="log-tools">
          {failed && (
            <button type="button" class="quiet" onClick={firstError}>
              First error
            </button>
          )}
          <Toggle on={wrap.value} onClick={() => (wrap.value = !wrap.value)}>
            Wrap
          </Toggle>
          <Toggle on={times.value} onClick={() => (times.value = !times.value)}>
            Times
          </Toggle>
          <CopyButton text={() => wholeText(log)} label="Copy the log">
            Copy
          </CopyButton>
          <button type="button" class="quiet" onClick={() => void download(job, log, offers)}>
            Download
          </button>
          <Toggle on={following.value} onClick={following.value ? pause : toEnd}>
            Follow
          </Toggle>
        </div>
      </div>
      {job.attempt > 1 && <AttemptLinks known={attemptsOf(attempts.starts(), job.logStart)} onShow={showSeq} />}
      {note.value !== null && (
        <p class="log-note" role="status">
          {note.value}
        </p>
      )}
      <div class="log-frame">
        <div
          class={`log${wrap.value ? " wrap" : ""}${times.value ? " timed" : ""}`}
          data-testid="log"
          data-lines={log.length}
          ref={box}
          onScroll={scrolled}
          onWheel={(event) => event.deltaY < 0 && pause()}
          onPointerDown={(event) => event.offsetX > event.currentTarget.clientWidth && pause()}
          onTouchMove={pause}
          onKeyDown={(event) => ["ArrowUp", "PageUp", "Home"].includes(event.key) && pause()}
          role="log"
          aria-live="off"
          aria-labelledby="log-title"
          tabIndex={0}
        >
          <span class="probe" aria-hidden="true">
            {"0".repeat(100)}
          </span>
          <div class="log-size" style={{ height: `${shown}px` }}>
            <div class="log-window" style={{ transform: `translateY(${Math.round(first - top + scroll + PAD)}px)` }}>
              {rows.map((row) => (
                <RowView
                  key={rowKey(row, log)}
                  row={row}
                  log={log}
                  pattern={search.pattern}
                  here={here}
                  marked={marked.value}
                  lineHref={offers.lineHref}
                  onFold={(group, folded) => (folds.value = new Map(folds.value).set(group.index, folded))}
                />
              ))}
            </div>
          </div>
          {log.length === 0 && owed <= 0 && <p class="log-note">{emptySentence(job)}</p>}
        </div>
        {!following.value && fresh > 0 && !isOver(job) && (
          <button type="button" class="log-fresh" onClick={toEnd}>
            ↓ {plural(fresh, "new line")}
          </button>
        )}
      </div>
      {owed > 0 && (
        <p class="log-note">
          {endAsked ? `The last ${plural(owed, "line is", "lines are")} no longer kept.` : `Waiting for ${plural(owed, "more line")}…`}
        </p>
      )}
    </section>
  );
}

function SearchField(props: {
  search: LogSearch;
  field: { current: HTMLInputElement | null };
  current: number;
  onWords: () => void;
  onNext: (step: number) => void;
}) {
  const { search, current } = props;
  const words = useSignal("");
  const found = search.found.value.length;
  const position = current >= 0 ? `${count(current + 1)} of ${count(found)}` : plural(found, "line");
  return (
    <div class="log-search" role="search">
      <input
        type="search"
        ref={props.field}
        aria-label="Search in the log"
        placeholder="Search"
        autocomplete="off"
        spellcheck={false}
        value={words.value}
        onInput={(event) => {
          words.value = event.currentTarget.value;
          search.look(words.value);
          props.onWords();
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") props.onNext(event.shiftKey ? -1 : 1);
          else if (event.key === "Escape") {
            words.value = "";
            search.look("");
            props.onWords();
            event.currentTarget.blur();
          }
        }}
      />
      {words.value !== "" && (
        <>
          <span class="log-found num" aria-live="polite" data-testid="log-found">
            {position}
            {search.busy.value && "…"}
          </span>
          <button type="button" class="quiet" aria-label="Previous match" disabled={found === 0} onClick={() => props.onNext(-1)}>
            ↑
          </button>
          <button type="button" class="quiet" aria-label="Next match" disabled={found === 0} onClick={() => props.onNext(1)}>
            ↓
          </button>
        </>
      )}
    </div>
  );
}

/** Links to the attempts of the run whose beginning is in the log. */
function AttemptLinks({ known, onShow }: { known: readonly AttemptStart[]; onShow: (seq: number) => void }) {
  if (known.length === 1) return null;
  return (
    <p class="attempts" data-testid="attempts">
      <span class="muted">{plural(known.length, "attempt")}, one log:</span>{" "}
      {known.map(({ attempt, seq }) => (
        <button key={attempt} type="button" class="quiet" onClick={() => onShow(seq)}>
          {`Attempt ${attempt}${attempt < known.length ? " (lost with its worker)" : ""}`}
        </button>
      ))}
    </p>
  );
}

function Toggle({ on, onClick, children }: { on: boolean; onClick: () => void; children: string }) {
  return (
    <button type="button" class="quiet" aria-pressed={on} onClick={onClick}>
      {children}
    </button>
  );
}

function RowView(props: {
  row: Row;
  log: JobLog;
  pattern: RegExp | null;
  here: number | undefined;
  /** The seq of the line that the URL names, or that was asked for; -1 for none. */
  marked: number;
  lineHref: LogOffers["lineHref"];
  onFold: (group: Group, folded: boolean) => void;
}) {
  const { row, log } = props;
  if (row.kind === "hole") return <HoleView hole={row.hole} />;
  if (row.kind === "line") {
    const line = log.line(row.at);
    return (
      <LineView
        line={line}
        at={row.at}
        times={times.value}
        pattern={props.pattern}
        current={row.at === props.here || line.seq === props.marked}
        href={embedded ? null : (props.lineHref?.(line.seq + 1) ?? null)}
      />
    );
  }
  const { group, folded } = row;
  const took = log.time(group.to - 1) - log.time(group.from);
  return (
    <div class="log-heading" style={{ height: "28px" }}>
      <button type="button" aria-expanded={!folded} onClick={() => props.onFold(group, !folded)}>
        <span class="fold" aria-hidden="true">
          {folded ? "▸" : "▾"}
        </span>
        {PHASE_NOUNS[group.phase]}{" "}
        <span class="muted">
          {plural(group.to - group.from, "line")}
          {took > 0 && `, ${duration(took)}`}
        </span>
      </button>
    </div>
  );
}

/** Whether a phase is folded by default: phases before the run are, once they succeeded; a failed one stays open. */
function foldedByItself(group: Group, groups: readonly Group[], job: Job): boolean {
  if (group.phase === "running") return false;
  const later = groups.some((other) => other.index > group.index && other.phase === "running");
  const last = group.index === groups.length - 1;
  return later || (!last && job.verdict?.reason === "Success");
}

function rowKey(row: Row, log: JobLog): string {
  if (row.kind === "line") return `l${log.line(row.at).seq}`;
  return row.kind === "hole" ? `h${row.hole.from}` : `g${row.group.index}`;
}

function firstInSight(found: readonly number[], rows: readonly Row[]): number {
  const first = rows.find((row) => row.kind === "line");
  const at = first?.kind === "line" ? first.at : 0;
  const n = found.findIndex((each) => each >= at);
  return n < 0 ? 0 : n;
}

function emptySentence(job: Job): string {
  if (job.state === "Queued") return "Log lines appear here when the job runs.";
  return isOver(job) ? "The log is empty." : "The log is empty so far.";
}

function HoleView({ hole }: { hole: Hole }) {
  const n = hole.to - hole.from;
  const which = `${plural(n, "line")} (${count(hole.from + 1)} to ${count(hole.to)})`;
  const words = {
    missing: `Fetching ${which}…`,
    lost: `${which} not available: the log was longer than the hub keeps.`,
    left: `${which} not shown: the page keeps only the newest lines.`,
  };
  return (
    <div class="log-hole" data-testid="log-gap" style={{ height: `${LINE}px` }}>
      {words[hole.kind]}
    </div>
  );
}

function wholeText(log: JobLog): string {
  return Array.from({ length: log.length }, (_, at) => `${plainText(log.text(at))}\n`).join("");
}

/** Downloads the hub's log, or the page's copy if the hub can't be reached. */
async function download(job: Job, log: JobLog, offers: LogOffers): Promise<void> {
  const text = await (offers.wholeText?.() ?? Promise.resolve(null)).catch(() => null);
  saveText(`${shortId(job.id)}.log`, text ?? wholeText(log));
}
