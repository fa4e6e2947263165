/** One line of a log, with terminal colours, links and highlighted search results. */

import type { ComponentChildren } from "preact";
import { type Colour, type Span, type Style, spans } from "../log/ansi";
import { LINE } from "../log/layout";
import { STDERR, SYSTEM } from "../protocol/messages";
import type { Line } from "../log/job-log";
import { fullTime } from "../text/format";
import { stay } from "./navigation";

const LINK = /https?:\/\/[^\s<>"'`)\]}]+[^\s<>"'`)\]}.,;:!?]/g;
/** Most characters drawn of one line; a longer line can be copied or downloaded. */
const MOST_LETTERS = 20_000;

export function LineView(props: {
  line: Line;
  at: number;
  times: boolean;
  pattern: RegExp | null;
  current: boolean;
  /** The link to the line; null where there is none. */
  href: string | null;
}) {
  const { line, at, times, pattern, current, href } = props;
  const kind = line.stream === STDERR ? "err" : line.stream === SYSTEM ? "sys" : "out";
  const long = line.text.length > MOST_LETTERS;
  const pieces = spans(long ? line.text.slice(0, MOST_LETTERS) : line.text, line.style);
  return (
    <div
      class={`line ${kind}${current ? " current" : ""}`}
      data-testid="log-line"
      data-at={at}
      data-seq={line.seq}
      data-stream={kind}
      title={times ? undefined : fullTime(line.time)}
      style={{ minHeight: `${LINE}px` }}
    >
      {href === null ? (
        <span class="seq" aria-hidden="true" data-n={line.seq + 1} />
      ) : (
        // Not for the keyboard and screen readers: each line would be one more stop.
        <a class="seq" aria-hidden="true" tabIndex={-1} title="Link to this line" data-n={line.seq + 1} href={href} onClick={(event) => stay(event, href)} />
      )}
      {times && (
        <time class="when" data-time={timeOfDay(line.time)} aria-hidden="true" />
      )}
      {kind === "err" && <span class="offscreen">standard error: </span>}
      <span class="text" data-testid="log-text">
        {pieces.map((span, n) => (
          <SpanView key={n} span={span} pattern={pattern} />
        ))}
        {long && <span class="muted"> … {line.text.length - MOST_LETTERS} more characters; copy or download the log to see them</span>}
      </span>
    </div>
  );
}

function SpanView({ span, pattern }: { span: Span; pattern: RegExp | null }) {
  const linked = splitBy(span.text, LINK, (text) => (
    <a href={text} target="_blank" rel="noopener noreferrer">
      {marked(text, pattern)}
    </a>
  ), (text) => marked(text, pattern));
  const style = styleOf(span.style);
  return style === null ? <>{linked}</> : <span style={style}>{linked}</span>;
}

function marked(text: string, pattern: RegExp | null): ComponentChildren {
  if (pattern === null) return text;
  return splitBy(text, pattern, (found) => <mark>{found}</mark>, (rest) => rest);
}

function splitBy(
  text: string,
  pattern: RegExp,
  found: (text: string) => ComponentChildren,
  rest: (text: string) => ComponentChildren,
): ComponentChildren {
  const pieces: ComponentChildren[] = [];
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > at) pieces.push(rest(text.slice(at, match.index)));
    pieces.push(found(match[0]));
    at = match.index + match[0].length;
  }
  if (at === 0) return rest(text);
  if (at < text.length) pieces.push(rest(text.slice(at)));
  return pieces;
}

type Look = Record<string, string | number>;

function styleOf(style: Style): Look | null {
  if (Object.keys(style).length === 0) return null;
  const [front, back] = style.inverse ? [style.bg ?? "var(--log-ground)", style.fg ?? "var(--text)"] : [style.fg, style.bg];
  const made: Look = {};
  if (front !== undefined) made["color"] = colour(front);
  if (back !== undefined) made["backgroundColor"] = colour(back);
  if (style.bold) made["fontWeight"] = 700;
  if (style.dim) made["opacity"] = 0.7;
  if (style.italic) made["fontStyle"] = "italic";
  if (style.underline || style.strike) {
    made["textDecoration"] = [style.underline && "underline", style.strike && "line-through"].filter(Boolean).join(" ");
  }
  return made;
}

function colour(of: Colour): string {
  return typeof of === "number" ? `var(--ansi-${of})` : of;
}

function timeOfDay(time: number): string {
  const date = new Date(time);
  const two = (n: number, width = 2) => String(n).padStart(width, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${two(date.getMilliseconds(), 3)}`;
}
