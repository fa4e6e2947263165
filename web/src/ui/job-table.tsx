/**
 * The table of a queue's jobs. Only visible rows are drawn, older jobs are loaded when a person scrolls to them, and
 * each row depends on its own job only, so that the cost of a busy queue is limited to the visible rows.
 */

import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { sentence } from "../protocol/errors";
import type { State } from "../protocol/messages";
import { jobHref, type QueueAddress } from "../route";
import { type Job, runTime } from "../state/job";
import { KEPT } from "../state/queue";
import type { Session } from "../state/session";
import { clock, count, fullTime, plural, shortId } from "../text/format";
import { buildWords } from "../text/words";
import { ChosenJobs } from "./chosen-jobs";
import { useKeys } from "./keys";
import { follow, go } from "./navigation";
import { Notice } from "./notice";
import { RunTime } from "./run-time";
import { StateMark } from "./state-mark";

/** Rows drawn above and below the visible ones. */
const OVER = 12;

/** Space between a row that the keys lead to and the edge of the window, in pixels. */
const EDGE = 90;
/** Most frames until a row is drawn after a scroll. */
const FRAMES = 30;

type Filter = "all" | State | "bad";
type Sort = "newest" | "oldest" | "longest";

const FILTERS: readonly [Filter, string][] = [
  ["all", "All"],
  ["Queued", "Queued"],
  ["Running", "Running"],
  ["Finished", "Finished"],
  ["bad", "Failed"],
];

export function JobTable({ session, queue }: { session: Session; queue: QueueAddress }) {
  const { store } = session;
  const filter = useSignal<Filter>("all");
  const words = useSignal("");
  const sort = useSignal<Sort>("newest");
  const chosen = useSignal<ReadonlySet<string>>(new Set());
  const busy = useSignal(false);
  const problem = useSignal<string | null>(null);
  const field = useRef<HTMLInputElement>(null);
  const plain = useComputed(() => filter.value === "all" && words.value.trim() === "" && sort.value === "newest");
  const ids = useComputed(() => {
    const all = store.order.value;
    if (plain.value) return all;
    const wanted = words.value.trim().toLowerCase();
    // The filter reads every job on each change of a job, the list or the filter; the rows update by themselves.
    const kept = all.filter((id) => matches(store.job(id)?.value, filter.value, wanted, store.workerName.bind(store)));
    if (sort.value === "oldest") kept.reverse();
    if (sort.value === "longest") {
      const ran = new Map(kept.map((id) => [id, ranFor(store.job(id)?.peek())]));
      kept.sort((a, b) => (ran.get(b) as number) - (ran.get(a) as number));
    }
    return kept;
  });

  const more = async () => {
    if (busy.peek() || !session.online.peek() || store.next.peek() === null) return;
    busy.value = true;
    problem.value = null;
    try {
      await session.loadMore();
    } catch (error) {
      problem.value = sentence(error);
    }
    busy.value = false;
  };
  // A filter or another order needs all jobs, so the remaining pages are loaded one after another.
  const rest = store.next.value;
  useEffect(() => {
    if (!plain.value && rest !== null && problem.value === null) void more();
  }, [plain.value, rest]);
  useKeys([{ key: "/", says: "Filter jobs", act: () => field.current?.focus() }]);

  const listed = ids.value;
  return (
    <section aria-labelledby="jobs-title" class="jobs-section">
      <div class="section-head">
        <h2 id="jobs-title">Jobs</h2>
        <div class="filters">
          <input
            ref={field}
            type="search"
            aria-label="Filter by command, image, worker, namespace or id"
            placeholder="Filter"
            autocomplete="off"
            spellcheck={false}
            value={words.value}
            onInput={(event) => (words.value = event.currentTarget.value)}
            onKeyDown={(event) => event.key === "Escape" && (words.value = "")}
          />
          <span class="segments" role="group" aria-label="State">
            {FILTERS.map(([each, name]) => (
              <button key={each} type="button" aria-pressed={filter.value === each} onClick={() => (filter.value = each)}>
                {name}
              </button>
            ))}
          </span>
          <label class="inline">
            <span class="offscreen">Order</span>
            <select value={sort.value} onChange={(event) => (sort.value = event.currentTarget.value as Sort)}>
              <option value="newest">Newest first</option>
              <option value="oldest">Oldest first</option>
              <option value="longest">Longest first</option>
            </select>
          </label>
        </div>
      </div>
      {problem.value !== null && <Notice kind="error">{problem.value}</Notice>}
      <ChosenJobs
        session={session}
        queue={queue}
        ids={listed.filter((id) => chosen.value.has(id))}
        total={chosen.value.size}
        onDone={(ids) => {
          const done = new Set(ids);
          chosen.value = new Set([...chosen.peek()].filter((id) => !done.has(id)));
        }}
        onClear={() => (chosen.value = new Set())}
      />
      {listed.length === 0 ? (
        <p class="empty">{emptySentence(session, plain.value)}</p>
      ) : (
        <Rows session={session} queue={queue} ids={listed} chosen={chosen.value} onChoose={(next) => (chosen.value = next)} onNearEnd={() => void more()} />
      )}
      <p class="muted small" role="status">
        {footSentence(session, listed.length, plain.value, busy.value)}
      </p>
    </section>
  );
}

function Rows(props: {
  session: Session;
  queue: QueueAddress;
  ids: readonly string[];
  chosen: ReadonlySet<string>;
  onChoose: (chosen: ReadonlySet<string>) => void;
  onNearEnd: () => void;
}) {
  const { session, queue, ids, chosen } = props;
  const box = useRef<HTMLDivElement>(null);
  const sight = useSignal({ from: 0, to: 40, height: 45 });
  const newest = useRef(props);
  newest.current = props;

  useLayoutEffect(() => {
    const look = () => {
      const element = box.current;
      if (element === null) return;
      const row = element.querySelector<HTMLElement>(".job-row");
      const height = row?.offsetHeight ?? 45;
      const top = -element.getBoundingClientRect().top;
      const from = Math.max(0, Math.floor(top / height) - OVER);
      const to = Math.ceil((top + window.innerHeight) / height) + OVER;
      const now = sight.peek();
      if (from !== now.from || to !== now.to || height !== now.height) sight.value = { from, to, height };
      if (to >= newest.current.ids.length) newest.current.onNearEnd();
    };
    look();
    const observer = new ResizeObserver(look);
    if (box.current !== null) observer.observe(box.current);
    window.addEventListener("scroll", look, { passive: true });
    window.addEventListener("resize", look);
    return () => {
      observer.disconnect();
      window.removeEventListener("scroll", look);
      window.removeEventListener("resize", look);
    };
  }, [sight]);

  const { from, to, height } = sight.value;
  /** Moves the focus to the link of the next or the previous row, from which Enter opens the job. */
  const move = (step: number) => {
    const { ids } = newest.current;
    const row = document.activeElement?.closest<HTMLElement>(".job-row");
    const at = row === null || row === undefined ? -1 : ids.indexOf(row.dataset["job"] ?? "");
    const next = at < 0 ? (step > 0 ? from + (from > 0 ? OVER : 0) : -1) : at + step;
    const id = ids[next];
    if (id === undefined || box.current === null) return;
    const top = box.current.getBoundingClientRect().top + next * height;
    if (top < EDGE) window.scrollBy(0, top - EDGE);
    else if (top + height > window.innerHeight - EDGE) window.scrollBy(0, top + height - window.innerHeight + EDGE);
    focusRow(box.current, id, FRAMES);
  };
  useKeys([
    { key: "j", says: "Go to the next job; Enter opens it", act: () => move(1) },
    { key: "k", says: "Go to the previous job", act: () => move(-1) },
    {
      key: "x",
      says: "Select the job",
      act: () => document.activeElement?.closest(".job-row")?.querySelector<HTMLInputElement>('input[type="checkbox"]')?.click(),
    },
  ]);
  const choose = (id: string, on: boolean) => {
    const next = new Set(chosen);
    if (on) next.add(id);
    else next.delete(id);
    props.onChoose(next);
  };
  const all = ids.length > 0 && ids.every((id) => chosen.has(id));
  return (
    <div class="jobs" role="table" aria-label="Jobs" aria-rowcount={ids.length + 1}>
      <div role="rowgroup">
        <div class="jobs-head" role="row" aria-rowindex={1}>
          <span role="columnheader" class="c-choose">
            {session.may("submit") && (
              <input
                type="checkbox"
                aria-label="Select all listed jobs"
                checked={all}
                onChange={() => props.onChoose(all ? new Set() : new Set(ids))}
              />
            )}
          </span>
          {["State", "Job", "Worker", "Queued", "Finished", "Run time", "Exit"].map((name) => (
            <span key={name} role="columnheader" class={`c-${name.toLowerCase().replace(" ", "-")}`}>
              {name}
            </span>
          ))}
        </div>
      </div>
      <div role="rowgroup" ref={box} class="jobs-body" style={{ height: `${ids.length * height}px` }}>
        <div class="jobs-window" style={{ transform: `translateY(${from * height}px)` }}>
          {ids.slice(from, to).map((id, n) => (
            <JobRow
              key={id}
              id={id}
              index={from + n + 2}
              session={session}
              queue={queue}
              chosen={chosen.has(id)}
              onChoose={(on) => choose(id, on)}
            />
          ))}
        </div>
      </div>
    </div>
  );
}

/** Focuses a row's link once it is drawn, within some frames. */
function focusRow(box: HTMLElement, id: string, frames: number): void {
  const link = box.querySelector<HTMLElement>(`[data-job="${id}"] .c-job a`);
  if (link !== null) link.focus({ preventScroll: true });
  else if (frames > 0) requestAnimationFrame(() => focusRow(box, id, frames - 1));
}

function JobRow(props: {
  id: string;
  index: number;
  session: Session;
  queue: QueueAddress;
  chosen: boolean;
  onChoose: (on: boolean) => void;
}) {
  const { id, session, queue } = props;
  const { store } = session;
  const job = store.job(id)?.value;
  const bare = job !== undefined && job.summary === null;
  useEffect(() => {
    if (bare) session.wantSummary(id);
  }, [bare, id, session]);
  if (job === undefined) return null;
  const href = jobHref(queue, id);
  const command = job.summary?.command ?? "";
  const image = job.summary?.image || (job.summary?.build ? `build of ${buildWords(job.summary.build)}` : "");
  const name = command || image || shortId(id);
  const open = (event: MouseEvent) => {
    // The whole row reacts to the mouse, the link to the keyboard. Selecting text is not a click.
    if (event.defaultPrevented || (event.target as Element).closest("a, button, input, label") || getSelection()?.toString()) return;
    if (event.metaKey || event.ctrlKey) window.open(href);
    else go(href);
  };
  const namespaces = job.namespaces.filter((each) => each !== "_");
  return (
    <div
      class={props.chosen ? "job-row is-chosen" : "job-row"}
      role="row"
      aria-rowindex={props.index}
      data-testid="job-row"
      data-job={id}
      data-state={job.state}
      data-reason={job.verdict?.reason ?? ""}
      onClick={open}
    >
      <span role="cell" class="c-choose">
        {session.may("submit") && (
          <input
            type="checkbox"
            aria-label={`Select ${name.slice(0, 60)}`}
            checked={props.chosen}
            onChange={(event) => props.onChoose(event.currentTarget.checked)}
          />
        )}
      </span>
      <span role="cell" class="c-state">
        <StateMark job={job} />
      </span>
      <span role="cell" class="c-job">
        <a href={href} onClick={(event) => follow(event, href)} title={command} class={command === "" ? "none" : ""}>
          {name}
        </a>
        <span class="sub">
          <code>{shortId(id)}</code>
          {image && command && <span>{image}</span>}
          {namespaces.length > 0 && <span>{namespaces.slice(0, 3).join(", ")}</span>}
        </span>
      </span>
      <span role="cell" class="c-worker">
        {job.worker ? store.workerName(job.worker) : <span class="muted">–</span>}
      </span>
      <Time time={job.queued} name="queued" />
      <Time time={job.finished} name="finished" />
      <span role="cell" class="c-run-time num">
        <RunTime job={job} />
      </span>
      <span role="cell" class="c-exit num">
        {job.verdict?.exit_code ?? <span class="muted">–</span>}
      </span>
    </div>
  );
}

function Time({ time, name }: { time: number; name: string }) {
  return (
    <span role="cell" class={`c-${name} num`}>
      {time === 0 ? (
        <span class="muted">–</span>
      ) : (
        <time dateTime={new Date(time).toISOString()} title={fullTime(time)}>
          {clock(time, Date.now())}
        </time>
      )}
    </span>
  );
}

function matches(job: Job | undefined, filter: Filter, words: string, workerName: (id: string) => string): boolean {
  if (job === undefined) return false;
  if (filter === "bad") {
    if (job.state !== "Finished" || job.verdict?.ok !== false) return false;
  } else if (filter !== "all" && job.state !== filter) return false;
  if (words === "") return true;
  const { summary } = job;
  const texts = [job.id, summary?.command, summary?.image, summary?.build, workerName(job.worker), ...job.namespaces];
  return texts.some((text) => text !== undefined && text.toLowerCase().includes(words));
}

function ranFor(job: Job | undefined): number {
  return job === undefined ? -1 : (runTime(job, Date.now()) ?? -1);
}

function emptySentence(session: Session, plain: boolean): string {
  const { store } = session;
  if (!plain && store.order.value.length > 0) return "No job matches the filter.";
  if (store.listed.value) return session.may("submit") ? "No jobs yet. Run one above, or from the command line." : "No jobs yet.";
  return session.online.value ? "Loading the jobs…" : "Jobs appear when the page is connected to the hub.";
}

function footSentence(session: Session, shown: number, plain: boolean, busy: boolean): string {
  const { store } = session;
  const { queued, running, finished } = store.counts.value;
  const total = Math.max(queued + running + finished, store.order.value.length);
  if (store.order.value.length === 0) return "";
  if (store.full.value) return `The newest ${count(KEPT)} of ${plural(total, "job")} are listed.`;
  if (!plain) {
    const looked = store.more.value ? `; ${count(store.order.value.length)} of ${count(total)} searched…` : "";
    return `${plural(shown, "job")}${looked}`;
  }
  return busy ? "Loading older jobs…" : `${plural(total, "job")}`;
}
