/** Charts of the queue's activity: of hours and days from the jobs that the hub keeps, and of now; loaded on demand. */

import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { sentence } from "../protocol/errors";
import { LIST_PAGE } from "../protocol/messages";
import { hubNow } from "../state/clock";
import { type Run, runOf, seriesOf } from "../state/history";
import { jobFrom, runTime, waitTime } from "../state/job";
import type { Session } from "../state/session";
import { Samples } from "../state/samples";
import { count, duration, plural } from "../text/format";

/** Interval between two samples of now, in milliseconds. */
const EVERY = 1000;
/** Interval between two drawings of a longer range, in milliseconds. */
const REDRAW = 2000;
/** Time that the charts of now show, in seconds. */
const SHOWN = 120;
/** Most jobs from which the charts of a longer range are computed. */
const MOST_JOBS = 20_000;

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

interface Range {
  name: string;
  /** In milliseconds; 0 for now. */
  length: number;
  /** One interval of it: in milliseconds, and in words. */
  step: number;
  each: string;
}

const LAST_HOUR: Range = { name: "1 hour", length: HOUR, step: MINUTE, each: "minute" };
const RANGES: readonly Range[] = [
  { name: "2 minutes", length: 0, step: EVERY, each: "second" },
  LAST_HOUR,
  { name: "1 day", length: 24 * HOUR, step: 15 * MINUTE, each: "15 minutes" },
  { name: "7 days", length: 7 * 24 * HOUR, step: 2 * HOUR, each: "2 hours" },
];

const timeWords = (ms: number | null) => (ms === null ? "–" : duration(ms));

export function Charts({ session }: { session: Session }) {
  const range = useSignal(LAST_HOUR);
  return (
    <>
      <div class="chart-range">
        <span class="segments" role="group" aria-label="Time shown">
          {RANGES.map((each) => (
            <button key={each.name} type="button" aria-pressed={range.value === each} onClick={() => (range.value = each)}>
              {each.name}
            </button>
          ))}
        </span>
      </div>
      {range.value.length === 0 ? <Now session={session} /> : <Past key={range.value.name} session={session} range={range.value} />}
    </>
  );
}

/** The charts of the time since they were opened, sampled each second. */
function Now({ session }: { session: Session }) {
  const samples = useRef(new Samples()).current;
  const drawn = useSignal(0);
  // Every change of the total is recorded, also between two samples.
  useSignalEffect(() => {
    const { finished } = session.store.counts.value;
    samples.counted(finished);
  });
  useEffect(() => {
    const take = () => {
      const { queued, running, finished } = session.store.counts.peek();
      const over = session.store.order.peek().slice(0, 500).flatMap((id) => {
        const job = session.store.job(id)?.peek();
        return job?.state === "Finished" ? [{ id: `${id} ${job.queued}`, finished: job.finished, wait: waitTime(job, 0), run: runTime(job, 0) }] : [];
      });
      samples.take({ time: hubNow(), queued, running, finished }, over);
      drawn.value += 1;
    };
    take();
    const timer = setInterval(take, EVERY);
    return () => clearInterval(timer);
  }, [session, samples, drawn]);
  void drawn.value;
  return (
    <div class="chart-grid" data-testid="charts" data-samples={samples.times.length}>
      <Chart title="Queued" counts unit={whole} series={[["queued", 0]]} data={[samples.times, samples.queued]} />
      <Chart title="Running" counts unit={whole} series={[["running", 1]]} data={[samples.times, samples.running]} />
      <Chart title="Finished per second" unit={whole} series={[["finished", 2]]} data={[samples.times, samples.rate]} />
      <Chart
        title="Wait and run time (median)"
        unit={(ms) => (ms === null ? "–" : duration(ms))}
        series={[
          ["wait", 0],
          ["run", 1],
        ]}
        data={[samples.times, samples.wait, samples.run]}
      />
    </div>
  );
}

/** The charts of a longer range, from the jobs that the hub keeps. */
function Past({ session, range }: { session: Session; range: Range }) {
  const runs = useRef(new Map<string, Run>()).current;
  const drawn = useSignal(0);
  const loading = useSignal(true);
  const full = useSignal(false);
  const problem = useSignal<string | null>(null);
  useEffect(() => {
    let gone = false;
    void loadRuns(session, runs, hubNow() - range.length, () => gone).then(
      (all) => {
        full.value = !all;
        loading.value = false;
        drawn.value += 1;
      },
      (error: unknown) => {
        problem.value = sentence(error);
        loading.value = false;
      },
    );
    const timer = setInterval(() => (drawn.value += 1), REDRAW);
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [session, runs]);
  void drawn.value;
  takeNewest(session, runs);
  const now = hubNow();
  const { times, queued, running, good, bad, wait, run } = seriesOf([...runs.values()], now - range.length, now, range.length / range.step);
  const length = range.length / 1000;
  const [done, failed] = [sum(good), sum(bad)];
  return (
    <>
      <p class="muted small" role="status" data-testid="chart-summary">
        {problem.value ??
          (loading.value
            ? "Loading jobs…"
            : `${plural(done + failed, "job")} finished${done + failed > 0 ? `, ${Math.round((100 * done) / (done + failed))} % succeeded` : ""}.${full.value ? ` Of the newest ${count(MOST_JOBS)} jobs.` : ""}`)}
      </p>
      <div class="chart-grid" data-testid="charts" data-samples={runs.size} data-good={done} data-bad={failed}>
        <Chart title="Queued" now={session.store.counts.value.queued} range={length} counts unit={whole} series={[["queued", 0]]} data={[times, queued]} />
        <Chart title="Running" now={session.store.counts.value.running} range={length} counts unit={whole} series={[["running", 1]]} data={[times, running]} />
        <Chart
          title={`Finished per ${range.each}`}
          now="sum"
          range={length}
          counts
          unit={whole}
          series={[
            ["succeeded", 2],
            ["failed", 0],
          ]}
          data={[times, good, bad]}
        />
        <Chart
          title="Wait and run time (median)"
          now="last"
          range={length}
          unit={timeWords}
          series={[
            ["wait", 0],
            ["run", 1],
          ]}
          data={[times, wait, run]}
        />
      </div>
    </>
  );
}

/** Loads the runs of a time, newest first; returns whether none had to be left out. */
async function loadRuns(session: Session, runs: Map<string, Run>, since: number, gone: () => boolean): Promise<boolean> {
  let before: number | null = null;
  while (!gone()) {
    const page: Awaited<ReturnType<typeof session.ask<"list">>> = await session.ask("list", { limit: LIST_PAGE, ...(before === null ? {} : { before }) });
    for (const job of page.jobs) runs.set(job.id, runOf(jobFrom(job)));
    before = page.next ?? null;
    const oldest = page.jobs.at(-1)?.queued ?? 0;
    if (before === null || oldest < since) return true;
    if (runs.size >= MOST_JOBS) return false;
  }
  return true;
}

/** Takes what the page knows of newer jobs, which the hub pushes. */
function takeNewest(session: Session, runs: Map<string, Run>): void {
  for (const id of session.store.order.peek().slice(0, MOST_JOBS)) {
    const job = session.store.job(id)?.peek();
    if (job !== undefined) runs.set(id, runOf(job));
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((all, each) => all + each, 0);
}

/** Whether the page is in dark mode. A chart must be redrawn on a change, as a canvas does not follow CSS colours. */
function useDark(): boolean {
  const query = useRef(matchMedia("(prefers-color-scheme: dark)")).current;
  const dark = useSignal(query.matches);
  useEffect(() => {
    const changed = () => (dark.value = query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, [query, dark]);
  return dark.value;
}

const COUNTS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000, 500_000, 1_000_000];

/** Steps of an axis of durations, in milliseconds. */
const TIMES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 3_600_000, 6 * 3_600_000, 86_400_000];

/** A time on the axis, as exact as the range needs. */
function label(time: number, range: number): string {
  const date = new Date(time * 1000);
  if (range > 86_400) return date.toLocaleDateString([], { month: "short", day: "numeric" });
  const seconds: Intl.DateTimeFormatOptions = range > 600 ? {} : { second: "2-digit" };
  return date.toLocaleTimeString([], { hour12: false, hour: "2-digit", minute: "2-digit", ...seconds });
}

function beside(values: readonly (number | null)[], which: "newest" | "last" | "sum" | number): number | null {
  if (typeof which === "number") return which;
  if (which === "sum") return sum(values.map((each) => each ?? 0));
  return (which === "last" ? values.findLast((each) => each !== null) : values.at(-1)) ?? null;
}

const whole = (value: number | null) => (value === null ? "–" : String(Math.round(value * 10) / 10));

function Chart(props: {
  title: string;
  unit: (value: number | null) => string;
  series: [name: string, colour: number][];
  /** Whether the values are whole numbers. */
  counts?: boolean;
  data: (number | null)[][];
  /** Length of the shown time, in seconds. */
  range?: number;
  /** What stands beside the title: the newest value, the last one that is known, the sum, or this value. */
  now?: "newest" | "last" | "sum" | number;
}) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const { title, unit, series, data, range = SHOWN } = props;
  const dark = useDark();
  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const look = getComputedStyle(element);
    const colours = ["--series-1", "--series-2", "--series-3"].map((name) => look.getPropertyValue(name).trim());
    const axis = { stroke: look.getPropertyValue("--muted"), grid: { stroke: look.getPropertyValue("--line-soft"), width: 1 }, ticks: { show: false } };
    const made = new uPlot(
      {
        width: element.clientWidth,
        height: 130,
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { range: (_plot, _low, high) => [(high ?? 0) - range, high ?? 0] }, y: { range: (_plot, _low, high) => [0, Math.max(1, (high ?? 0) * 1.15)] } },
        axes: [
          { ...axis, font: "11px system-ui", size: 26, values: (_plot, times) => times.map((time) => label(time, range)), space: 80 },
          { ...axis, font: "11px system-ui", size: 56, space: 34, incrs: props.counts ? COUNTS : TIMES, values: (_plot, values) => values.map((value) => unit(value)) },
        ],
        series: [{}, ...series.map(([name, colour]) => ({ label: name, stroke: colours[colour] ?? "", width: 1.5, points: { show: props.now === "last", size: 4 }, spanGaps: true }))],
      },
      data as uPlot.AlignedData,
      element,
    );
    chart.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: 130 }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      chart.current = null;
    };
  }, [dark]);
  useEffect(() => chart.current?.setData(data as uPlot.AlignedData));
  const newest = data.slice(1).map((values) => unit(beside(values, props.now ?? "newest")));
  const words = series.map(([name], at) => `${name} ${newest[at]}`).join(", ");
  return (
    <figure class="chart" aria-label={`${title}: ${props.now === "sum" ? "in all" : "now"} ${words}`}>
      <figcaption>
        {title}
        <span class="chart-now num">
          {series.length === 1 ? newest[0] : series.map(([name, colour], at) => (
            <span key={name} class={`series-${colour + 1}`}>{`${name} ${newest[at]}`}</span>
          ))}
        </span>
      </figcaption>
      <div ref={place} class="chart-place" aria-hidden="true" />
    </figure>
  );
}
