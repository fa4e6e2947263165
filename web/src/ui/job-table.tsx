/**
 * The table of a queue's jobs. Only visible rows are drawn, older jobs are loaded when a person scrolls to them, and
 * each row depends on its own job only, so that the cost of a busy queue is limited to the visible rows.
 */

import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { sentence } from "../protocol/errors";
import type { State } from "../protocol/messages";
import { jobHref, type QueueAddress } from "../route";
import { isOver, type Job, runTime } from "../state/job";
import { KEPT } from "../state/queue";
import type { Session } from "../state/session";
import { clock, count, fullTime, plural, shortId } from "../text/format";
import { useKeys } from "./keys";
import { follow, go } from "./navigation";
import { Notice } from "./notice";
import { RunTime } from "./run-time";
import { StateMark } from "./state-mark";

/** Rows drawn above and below the visible ones. */
const OVER = 12;
/** Most jobs that one click cancels, to limit the effect of a mistake. */
const MOST_AT_ONCE = 500;

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
  const stoppable = listed.filter((id) => chosen.value.has(id) && stops(store.job(id)?.peek()));
  const cancelAll = async () => {
    problem.value = null;
    const some = stoppable.slice(0, MOST_AT_ONCE);
    const ends = await Promise.allSettled(some.map((id) => session.cancel(id)));
    const failed = ends.find((end) => end.status === "rejected");
    if (failed !== undefined) problem.value = `Some jobs could not be cancelled: ${sentence(failed.reason)}`;
    const done = new Set(some.filter((_, n) => ends[n]?.status === "fulfilled"));
    chosen.value = new Set([...chosen.peek()].filter((id) => !done.has(id)));
  };

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
      {chosen.value.size > 0 && (
        <div class="chosen" role="status">
          <span>{plural(chosen.value.size, "job")} selected</span>
          <button type="button" class="danger" disabled={stoppable.length === 0 || !session.online.value} onClick={() => void cancelAll()}>
            Cancel {plural(Math.min(stoppable.length, MOST_AT_ONCE), "job")}
          </button>
          <button type="button" class="quiet" onClick={() => (chosen.value = new Set())}>
            Clear selection
          </button>
        </div>
      )}
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
            <input
              type="checkbox"
              aria-label="Select all listed jobs"
              checked={all}
              onChange={() => props.onChoose(all ? new Set() : new Set(ids))}
            />
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
  const image = job.summary?.image || (job.summary?.build ? `build of ${job.summary.build}` : "");
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
        <input
          type="checkbox"
          aria-label={`Select ${name.slice(0, 60)}`}
          checked={props.chosen}
          onChange={(event) => props.onChoose(event.currentTarget.checked)}
        />
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

function stops(job: Job | undefined): boolean {
  return job !== undefined && !isOver(job);
}

function ranFor(job: Job | undefined): number {
  return job === undefined ? -1 : (runTime(job, Date.now()) ?? -1);
}

function emptySentence(session: Session, plain: boolean): string {
  const { store } = session;
  if (!plain && store.order.value.length > 0) return "No job matches the filter.";
  if (store.listed.value) return "No jobs yet. Run one above, or from the command line.";
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
