// Draws a chart on a canvas: grid, one line per key, threshold, marks and pointer position.
//
// A line is downsampled to the pixel columns. Each column keeps its first, minimum, maximum and last value, so no
// extreme is lost. A break in a series stays a break in the line.

import * as format from "./format.js";
import { Scale, padded, ticks, timeTicks } from "./scale.js";

const LEFT = 56;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 22;

/** Reads the chart colours of the current theme from the style sheet. */
export function readTheme(element) {
  const style = getComputedStyle(element);
  const of = (name) => style.getPropertyValue(name).trim();
  return {
    lines: Array.from({ length: 8 }, (_, i) => of(`--line-${i}`)),
    grid: of("--grid"),
    text: of("--muted"),
    strong: of("--text"),
    over: of("--over"),
    overArea: of("--over-area"),
    font: `11px ${of("--font")}`,
  };
}

export function createFrame(width, height, from, to, [low, high]) {
  return {
    width,
    height,
    from,
    to,
    x: new Scale(from, to, LEFT, Math.max(LEFT + 1, width - RIGHT)),
    y: new Scale(low, high, Math.max(TOP + 1, height - BOTTOM), TOP),
  };
}

/** Returns the padded range of the values in the window; includes the threshold if it is near them. */
export function valueRange(lines, from, to, threshold) {
  let [low, high] = [Infinity, -Infinity];
  for (const { series } of lines) {
    const summary = series.summary(from, to);
    if (!summary) continue;
    low = Math.min(low, summary.min);
    high = Math.max(high, summary.max);
  }
  if (low > high) return threshold === undefined ? [0, 1] : padded(threshold, threshold);
  if (threshold !== undefined && Math.abs(threshold - (low / 2 + high / 2)) < 2 * (high - low || Math.abs(high))) {
    low = Math.min(low, threshold);
    high = Math.max(high, threshold);
  }
  return padded(low, high);
}

export function draw(context, frame, theme, { lines, threshold, marks, hover }) {
  context.clearRect(0, 0, frame.width, frame.height);
  context.font = theme.font;
  drawGrid(context, frame, theme);
  context.save();
  context.beginPath();
  context.rect(LEFT, 0, frame.width - LEFT - RIGHT, frame.height - BOTTOM + 1);
  context.clip();
  marks.filter((mark) => mark.at >= frame.from && mark.at <= frame.to).forEach((mark) => drawVertical(context, frame, mark.at, theme.over, [2, 3]));
  if (threshold !== undefined) drawThreshold(context, frame, theme, threshold);
  for (const line of lines) drawSeries(context, frame, line, theme, threshold);
  if (hover !== null) drawVertical(context, frame, hover, theme.strong, []);
  context.restore();
}

function drawGrid(context, frame, theme) {
  context.strokeStyle = theme.grid;
  context.fillStyle = theme.text;
  context.lineWidth = 1;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const value of ticks(frame.y.low, frame.y.high, Math.max(2, frame.height / 45))) {
    const y = Math.round(frame.y.toPixel(value)) + 0.5;
    if (y < TOP - 2 || y > frame.height - BOTTOM + 2) continue;
    strokeLine(context, LEFT, y, frame.width - RIGHT, y);
    context.fillText(format.short(value), LEFT - 8, y, LEFT - 10);
  }
  context.textBaseline = "alphabetic";
  context.textAlign = "center";
  const count = Math.max(2, Math.floor(frame.width / 110));
  for (const at of timeTicks(frame.from, frame.to, count)) {
    const x = frame.x.toPixel(at);
    if (x > LEFT + 24 && x < frame.width - RIGHT - 20) context.fillText(format.time(at), x, frame.height - 6);
  }
}

function strokeLine(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

function drawVertical(context, frame, at, colour, dash) {
  const x = Math.round(frame.x.toPixel(at)) + 0.5;
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.setLineDash(dash);
  strokeLine(context, x, TOP, x, frame.height - BOTTOM);
  context.setLineDash([]);
}

function drawThreshold(context, frame, theme, threshold) {
  const y = Math.max(TOP, Math.min(frame.height - BOTTOM, frame.y.toPixel(threshold)));
  context.fillStyle = theme.overArea;
  context.fillRect(LEFT, TOP, frame.width - LEFT - RIGHT, y - TOP);
  context.strokeStyle = theme.over;
  context.lineWidth = 1;
  context.setLineDash([5, 4]);
  strokeLine(context, LEFT, Math.round(y) + 0.5, frame.width - RIGHT, Math.round(y) + 0.5);
  context.setLineDash([]);
}

function drawSeries(context, frame, line, theme, threshold) {
  const segments = lineSegments(line.series, frame);
  context.lineJoin = "round";
  context.lineWidth = 1.75;
  context.strokeStyle = line.colour;
  context.fillStyle = line.colour;
  context.setLineDash(line.dash);
  traceSegments(context, segments);
  context.setLineDash([]);
  if (threshold === undefined) return;
  // Draw the line a second time, clipped to the part above the threshold.
  context.save();
  context.beginPath();
  context.rect(0, 0, frame.width, frame.y.toPixel(threshold));
  context.clip();
  context.strokeStyle = context.fillStyle = theme.over;
  context.lineWidth = 2.5;
  traceSegments(context, segments);
  context.restore();
}

/** Returns the unbroken segments of a line, each as x, y, x, y, …, with up to four points per pixel column. */
export function lineSegments(series, frame) {
  const segments = [];
  let segment = null;
  let column = null;
  const close = () => {
    if (!column) return;
    const { x, first, last, min, max } = column;
    segment.push(x, frame.y.toPixel(first));
    if (min !== first || max !== last) segment.push(x, frame.y.toPixel(min), x, frame.y.toPixel(max));
    segment.push(x, frame.y.toPixel(last));
    column = null;
  };
  const start = Math.max(0, series.indexAt(frame.from) - 1);
  for (let i = start; i < series.length; i += 1) {
    if (series.broken[i] || !segment) {
      close();
      segments.push((segment = []));
    }
    const x = Math.round(frame.x.toPixel(series.start[i]) * 2) / 2;
    if (column && column.x === x) {
      column.last = series.last[i];
      column.min = Math.min(column.min, series.min[i]);
      column.max = Math.max(column.max, series.max[i]);
    } else {
      close();
      column = { x, first: series.first[i], last: series.last[i], min: series.min[i], max: series.max[i] };
    }
    if (series.start[i] > frame.to) break;
  }
  close();
  return segments;
}

function traceSegments(context, segments) {
  for (const segment of segments) {
    if (segment.every((at, i) => i < 2 || at === segment[i % 2])) {
      // A line of zero length is invisible, so a single point becomes a dot.
      context.beginPath();
      context.arc(segment[0], segment[1], 2.2, 0, 7);
      context.fill();
      continue;
    }
    context.beginPath();
    context.moveTo(segment[0], segment[1]);
    for (let i = 2; i < segment.length; i += 2) context.lineTo(segment[i], segment[i + 1]);
    context.stroke();
  }
}
