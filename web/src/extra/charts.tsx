/** Charts of the queue's activity since this page was opened; loaded on demand. */

import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { hubNow } from "../state/clock";
import { runTime, waitTime } from "../state/job";
import type { Session } from "../state/session";
import { Samples } from "../state/samples";
import { duration } from "../text/format";

/** Interval between two samples, in milliseconds. */
const EVERY = 1000;
/** Time range that a chart shows, in seconds. */
const SHOWN = 120;

export function Charts({ session }: { session: Session }) {
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

const whole = (value: number | null) => (value === null ? "–" : String(Math.round(value * 10) / 10));

function Chart(props: {
  title: string;
  unit: (value: number | null) => string;
  series: [name: string, colour: number][];
  /** Whether the values are whole numbers. */
  counts?: boolean;
  data: (number | null)[][];
}) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const { title, unit, series, data } = props;
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
        scales: { x: { range: (_plot, _low, high) => [(high ?? 0) - SHOWN, high ?? 0] }, y: { range: (_plot, _low, high) => [0, Math.max(1, (high ?? 0) * 1.15)] } },
        axes: [
          { ...axis, font: "11px system-ui", size: 26, values: (_plot, times) => times.map((time) => new Date(time * 1000).toLocaleTimeString([], { hour12: false })), space: 80 },
          { ...axis, font: "11px system-ui", size: 56, space: 34, ...(props.counts ? { incrs: COUNTS } : {}), values: (_plot, values) => values.map((value) => unit(value)) },
        ],
        series: [{}, ...series.map(([name, colour]) => ({ label: name, stroke: colours[colour] ?? "", width: 1.5, points: { show: false }, spanGaps: true }))],
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
  useEffect(() => chart.current?.setData(data as uPlot.AlignedData), [data[0]?.length, data[0]?.[0], data[0]?.at(-1)]);
  const newest = data.slice(1).map((values) => unit(values.at(-1) ?? null));
  const words = series.map(([name], at) => `${name} ${newest[at]}`).join(", ");
  return (
    <figure class="chart" aria-label={`${title}: now ${words}`}>
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
