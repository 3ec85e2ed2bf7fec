// Draws a chart on a canvas: grid, one line per key, threshold, marks and pointer position.
//
// A line goes through the last values of the points, each in the middle of its step, and reaches out to their extremes. Points
// in the same pixel column are drawn as one, so no extreme is lost. A break in a series stays a break in the line.

import { strokeLine } from "./canvas.js";
import * as format from "./format.js";
import { Scale, padded, ticks, timeTicks } from "./scale.js";

/** The space for the labels of the values: at least this, and more if the labels are longer. */
const LEFT = 56;
const DIGIT_WIDTH = 7;
export const RIGHT = 10;
const TOP = 10;
const BOTTOM = 22;
/** Points that are further apart than this on average are drawn as dots. */
const DOT_SPACING = 12;
/** The dots of more lines than this lie over each other. */
const MAX_DOTTED_LINES = 6;
/** Half the width of a bucket that has no neighbours. */
const HALF_BUCKET = 2;

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
    band: of("--band"),
    card: of("--card"),
    font: `11px ${of("--font")}`,
  };
}

export function createFrame(width, height, from, to, [low, high]) {
  const labels = valueLabels(low, high, Math.max(2, height / 45));
  const left = Math.max(LEFT, ...labels.map(([, text]) => Math.ceil(text.length * DIGIT_WIDTH) + 14));
  return {
    width,
    height,
    left,
    from,
    to,
    labels,
    x: new Scale(from, to, left, Math.max(left + 1, width - RIGHT)),
    y: new Scale(low, high, Math.max(TOP + 1, height - BOTTOM), TOP),
  };
}

/** Returns the ticks of the value axis as [value, label]. No two labels are the same. */
export function valueLabels(low, high, count) {
  const { values, step } = ticks(low, high, count);
  const texts = format.tickLabels(values, step);
  return values.map((value, i) => [value, texts[i]]).filter(([, text], i) => text !== texts[i - 1]);
}

/** Returns the padded range of `{ min, max }` (or null) each, which includes the threshold if it is near them. */
export function valueRange(extremes, threshold) {
  let [low, high] = [Infinity, -Infinity];
  for (const extreme of extremes) {
    if (!extreme) continue;
    low = Math.min(low, extreme.min);
    high = Math.max(high, extreme.max);
  }
  if (low > high) return threshold === undefined ? [0, 1] : padded(threshold, threshold);
  if (threshold !== undefined && Math.abs(threshold - (low / 2 + high / 2)) < 2 * (high - low || Math.abs(high))) {
    low = Math.min(low, threshold);
    high = Math.max(high, threshold);
  }
  return padded(low, high);
}

export function draw(context, frame, theme, { lines, band, threshold, marks, hover, selection }) {
  context.clearRect(0, 0, frame.width, frame.height);
  context.font = theme.font;
  drawGrid(context, frame, theme);
  context.save();
  context.beginPath();
  context.rect(frame.left, 0, frame.width - frame.left - RIGHT, frame.height - BOTTOM + 1);
  context.clip();
  marks.filter((mark) => mark.at >= frame.from && mark.at <= frame.to).forEach((mark) => drawVertical(context, frame, mark.at, theme.over, [2, 3]));
  if (threshold !== undefined) drawThresholdArea(context, frame, theme, threshold);
  if (band) drawBand(context, frame, theme, band);
  const mayDot = lines.length <= MAX_DOTTED_LINES;
  for (const line of lines) drawSeries(context, frame, line, theme, threshold, mayDot);
  if (threshold !== undefined) drawThreshold(context, frame, theme, threshold);
  drawPointer(context, frame, theme, { hover, selection });
  context.restore();
}

/** Draws the time under the pointer, and the part of the range that is being selected. */
export function drawPointer(context, frame, theme, { hover, selection }) {
  if (selection) drawSelection(context, frame, theme, selection);
  if (hover !== null) drawVertical(context, frame, hover, theme.strong, []);
}

function drawGrid(context, frame, theme) {
  const { left } = frame;
  context.strokeStyle = theme.grid;
  context.fillStyle = theme.text;
  context.lineWidth = 1;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const [value, label] of frame.labels) {
    const y = Math.round(frame.y.toPixel(value)) + 0.5;
    if (y < TOP - 2 || y > frame.height - BOTTOM + 2) continue;
    strokeLine(context, left, y, frame.width - RIGHT, y);
    context.fillText(label, left - 8, y);
  }
  drawTimeAxis(context, frame, theme);
}

/** Draws the labels of the time axis at the bottom. */
export function drawTimeAxis(context, frame, theme) {
  context.fillStyle = theme.text;
  context.textBaseline = "alphabetic";
  context.textAlign = "center";
  const count = Math.max(2, Math.floor(frame.width / 110));
  const { values, step } = timeTicks(frame.from, frame.to, count);
  for (const at of values) {
    const x = frame.x.toPixel(at);
    if (x > frame.left + 24 && x < frame.width - RIGHT - 20) context.fillText(format.timeTick(at, step), x, frame.height - 6);
  }
}

function drawVertical(context, frame, at, colour, dash) {
  const x = Math.round(frame.x.toPixel(at)) + 0.5;
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.setLineDash(dash);
  strokeLine(context, x, TOP, x, frame.height - BOTTOM);
  context.setLineDash([]);
}

function drawSelection(context, frame, theme, [from, to]) {
  const [left, right] = [frame.x.toPixel(from), frame.x.toPixel(to)];
  context.fillStyle = theme.band;
  context.fillRect(left, TOP, right - left, frame.height - BOTTOM - TOP);
}

/** Fills the area between minimum and maximum, and draws the median. Buckets without values are gaps. */
function drawBand(context, frame, theme, band) {
  const runs = [];
  for (const [i, bucket] of band.entries()) {
    if (bucket && !band[i - 1]) runs.push([]);
    if (bucket) runs.at(-1).push({ x: frame.x.toPixel(bucket.at), low: frame.y.toPixel(bucket.min), high: frame.y.toPixel(bucket.max), median: frame.y.toPixel(bucket.median) });
  }
  context.lineWidth = 1.25;
  context.setLineDash([]);
  for (const run of runs) {
    // A run of one bucket would have no width.
    const points = run.length > 1 ? run : [{ ...run[0], x: run[0].x - HALF_BUCKET }, { ...run[0], x: run[0].x + HALF_BUCKET }];
    context.fillStyle = theme.band;
    context.beginPath();
    for (const { x, high } of points) context.lineTo(x, high);
    for (const { x, low } of points.toReversed()) context.lineTo(x, low);
    context.closePath();
    context.fill();
    context.strokeStyle = theme.text;
    context.beginPath();
    for (const { x, median } of points) context.lineTo(x, median);
    context.stroke();
  }
}

/** Shades what is above the threshold, if any of it is on the axis. */
function drawThresholdArea(context, frame, theme, threshold) {
  if (threshold > frame.y.high) return;
  const y = Math.min(frame.height - BOTTOM, frame.y.toPixel(threshold));
  context.fillStyle = theme.overArea;
  context.fillRect(frame.left, TOP, frame.width - frame.left - RIGHT, y - TOP);
}

/** Draws the threshold as a line, or as an arrow with its value at the edge if it is outside the axis. */
function drawThreshold(context, frame, theme, threshold) {
  context.strokeStyle = context.fillStyle = theme.over;
  if (threshold > frame.y.high || threshold < frame.y.low) {
    const isAbove = threshold > frame.y.high;
    context.textAlign = "left";
    context.textBaseline = isAbove ? "top" : "bottom";
    context.fillText(`${isAbove ? "▲" : "▼"} threshold ${format.short(threshold)}`, frame.left + 6, isAbove ? TOP : frame.height - BOTTOM - 2);
    return;
  }
  const y = Math.round(frame.y.toPixel(threshold)) + 0.5;
  context.lineWidth = 1;
  context.setLineDash([5, 4]);
  strokeLine(context, frame.left, y, frame.width - RIGHT, y);
  context.setLineDash([]);
}

function drawSeries(context, frame, line, theme, threshold, mayDot) {
  const segments = lineSegments(line.series, frame);
  const points = segments.reduce((sum, segment) => sum + segment.length / 2, 0);
  const dots = mayDot && points * DOT_SPACING < frame.width - frame.left && !hasRange(line.series, frame);
  context.lineJoin = "round";
  context.lineWidth = 1.75;
  context.strokeStyle = line.colour;
  context.fillStyle = line.colour;
  context.setLineDash(line.dash);
  traceSegments(context, segments, dots);
  context.setLineDash([]);
  if (threshold === undefined || threshold > frame.y.high) return;
  // Draw the line a second time, clipped to the part above the threshold.
  context.save();
  context.beginPath();
  context.rect(0, 0, frame.width, frame.y.toPixel(threshold));
  context.clip();
  context.strokeStyle = context.fillStyle = theme.over;
  context.lineWidth = 2.5;
  traceSegments(context, segments, dots);
  context.restore();
}

/** Returns whether a point in the frame is not a single measurement, but the extremes of a step. */
function hasRange(series, frame) {
  for (let i = series.indexFrom(frame.from); i < series.length && series.start[i] <= frame.to; i += 1) {
    if (series.min[i] !== series.max[i]) return true;
  }
  return false;
}

/** Returns the unbroken segments of a line, each as x, y, x, y, …, with up to four points per pixel column. */
export function lineSegments(series, frame) {
  const segments = [];
  let segment = null;
  let column = null;
  let previous = null;
  const close = () => {
    if (!column) return;
    const { x, first, last, min, max } = column;
    // The line from the previous value covers the extremes between the two values.
    const reached = [first, last, previous ?? first];
    segment.push(x, frame.y.toPixel(first));
    if (min < Math.min(...reached)) segment.push(x, frame.y.toPixel(min));
    if (max > Math.max(...reached)) segment.push(x, frame.y.toPixel(max));
    if (segment.at(-1) !== frame.y.toPixel(last)) segment.push(x, frame.y.toPixel(last));
    previous = last;
    column = null;
  };
  // The axis fits the values in the window, so a line from a point before it could leave the axis.
  for (let i = series.indexFrom(frame.from); i < series.length && series.start[i] <= frame.to; i += 1) {
    if (series.broken[i] || !segment) {
      close();
      previous = null;
      segments.push((segment = []));
    }
    const x = Math.round(frame.x.toPixel(series.middle(i)) * 2) / 2;
    if (column && column.x === x) {
      column.last = series.last[i];
      column.min = Math.min(column.min, series.min[i]);
      column.max = Math.max(column.max, series.max[i]);
    } else {
      close();
      column = { x, first: series.last[i], last: series.last[i], min: series.min[i], max: series.max[i] };
    }
  }
  close();
  return segments;
}

/** Draws the segments as lines. Dots mark the measurements; a segment of one point is always a dot, because its line has no length. */
function traceSegments(context, segments, dots) {
  for (const segment of segments) {
    const isPoint = segment.every((at, i) => i < 2 || at === segment[i % 2]);
    if (!isPoint) {
      context.beginPath();
      context.moveTo(segment[0], segment[1]);
      for (let i = 2; i < segment.length; i += 2) context.lineTo(segment[i], segment[i + 1]);
      context.stroke();
    }
    if (!dots && !isPoint) continue;
    for (let i = 0; i < (isPoint ? 2 : segment.length); i += 2) {
      context.beginPath();
      context.arc(segment[i], segment[i + 1], 2.2, 0, 7);
      context.fill();
    }
  }
}
