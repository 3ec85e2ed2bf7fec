// Draws a chart on a canvas: grid, one line per key, the threshold, the place of the pointer.
//
// A line is thinned to the pixels there are: per column its first, least, greatest and last value, so that
// no extreme is lost; where it is broken, nothing is drawn.

import * as format from "./format.js";
import { Scale, moments, padded, ticks } from "./scale.js";

const LEFT = 56;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 22;

/** The colours of the page's theme, read once for each change of theme. */
export function themeOf(element) {
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

export function frameOf(width, height, from, to, [low, high]) {
  return {
    width,
    height,
    from,
    to,
    x: new Scale(from, to, LEFT, Math.max(LEFT + 1, width - RIGHT)),
    y: new Scale(low, high, Math.max(TOP + 1, height - BOTTOM), TOP),
  };
}

/** The values' range within a time, and the threshold where it is near. */
export function rangeOf(lines, from, to, threshold) {
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
  grid(context, frame, theme);
  context.save();
  context.beginPath();
  context.rect(LEFT, 0, frame.width - LEFT - RIGHT, frame.height - BOTTOM + 1);
  context.clip();
  marks.filter((mark) => mark.at >= frame.from && mark.at <= frame.to).forEach((mark) => vertical(context, frame, mark.at, theme.over, [2, 3]));
  if (threshold !== undefined) overArea(context, frame, theme, threshold);
  for (const line of lines) stroke(context, frame, line, theme, threshold);
  if (hover !== null) vertical(context, frame, hover, theme.strong, []);
  context.restore();
}

function grid(context, frame, theme) {
  context.strokeStyle = theme.grid;
  context.fillStyle = theme.text;
  context.lineWidth = 1;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const value of ticks(frame.y.low, frame.y.high, Math.max(2, frame.height / 45))) {
    const y = Math.round(frame.y.at(value)) + 0.5;
    if (y < TOP - 2 || y > frame.height - BOTTOM + 2) continue;
    path(context, LEFT, y, frame.width - RIGHT, y);
    context.fillText(format.short(value), LEFT - 8, y, LEFT - 10);
  }
  context.textBaseline = "alphabetic";
  context.textAlign = "center";
  const wanted = Math.max(2, Math.floor(frame.width / 110));
  for (const at of moments(frame.from, frame.to, wanted)) {
    const x = frame.x.at(at);
    if (x > LEFT + 24 && x < frame.width - RIGHT - 20) context.fillText(format.time(at), x, frame.height - 6);
  }
}

function path(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

function vertical(context, frame, at, colour, dash) {
  const x = Math.round(frame.x.at(at)) + 0.5;
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.setLineDash(dash);
  path(context, x, TOP, x, frame.height - BOTTOM);
  context.setLineDash([]);
}

function overArea(context, frame, theme, threshold) {
  const y = Math.max(TOP, Math.min(frame.height - BOTTOM, frame.y.at(threshold)));
  context.fillStyle = theme.overArea;
  context.fillRect(LEFT, TOP, frame.width - LEFT - RIGHT, y - TOP);
  context.strokeStyle = theme.over;
  context.lineWidth = 1;
  context.setLineDash([5, 4]);
  path(context, LEFT, Math.round(y) + 0.5, frame.width - RIGHT, Math.round(y) + 0.5);
  context.setLineDash([]);
}

function stroke(context, frame, line, theme, threshold) {
  const outline = outlineOf(line.series, frame);
  context.lineJoin = "round";
  context.lineWidth = 1.75;
  context.strokeStyle = line.colour;
  context.fillStyle = line.colour;
  context.setLineDash(line.dash);
  trace(context, outline);
  context.setLineDash([]);
  if (threshold === undefined) return;
  // The same line again, in the colour of what is over, above the threshold only.
  context.save();
  context.beginPath();
  context.rect(0, 0, frame.width, frame.y.at(threshold));
  context.clip();
  context.strokeStyle = context.fillStyle = theme.over;
  context.lineWidth = 2.5;
  trace(context, outline);
  context.restore();
}

/** Pieces of a line, each a list of x, y, x, y, …: per pixel column its first, least, greatest and last value. */
export function outlineOf(series, frame) {
  const pieces = [];
  let piece = null;
  let column = null;
  const close = () => {
    if (!column) return;
    const { x, first, last, min, max } = column;
    piece.push(x, frame.y.at(first));
    if (min !== first || max !== last) piece.push(x, frame.y.at(min), x, frame.y.at(max));
    piece.push(x, frame.y.at(last));
    column = null;
  };
  const start = Math.max(0, series.indexAt(frame.from) - 1);
  for (let i = start; i < series.length; i += 1) {
    if (series.broken[i] || !piece) {
      close();
      pieces.push((piece = []));
    }
    const x = Math.round(frame.x.at(series.start[i]) * 2) / 2;
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
  return pieces;
}

function trace(context, pieces) {
  for (const piece of pieces) {
    if (piece.every((at, i) => i < 2 || at === piece[i % 2])) {
      // One lone point: a line of no length shows nothing.
      context.beginPath();
      context.arc(piece[0], piece[1], 2.2, 0, 7);
      context.fill();
      continue;
    }
    context.beginPath();
    context.moveTo(piece[0], piece[1]);
    for (let i = 2; i < piece.length; i += 2) context.lineTo(piece[i], piece[i + 1]);
    context.stroke();
  }
}
