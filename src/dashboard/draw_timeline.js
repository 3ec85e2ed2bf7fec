// Draws the rows of a state timeline on a canvas.

import { strokeLine } from "./canvas.js";
import { RIGHT, drawPointer, drawTimeAxis } from "./draw.js";
import { Scale } from "./scale.js";

/** In CSS pixels. */
export const rowHeight = 34;
/** Faults are taller than other states, and states of rest are hollow, so that colours are not the only difference. */
const BAR_HEIGHTS = { fault: 26, usual: 20, rest: 20 };
const HOLLOW_ALPHA = 0.16;
/** A span is drawn at least this wide, so that a short fault in a long window is seen. */
const MIN_WIDTH = 2;
const HATCH_DISTANCE = 5;
const PADDING = 5;

export function timelineFrame(width, height, from, to) {
  return { width, height, left: 0, from, to, x: new Scale(from, to, 0, Math.max(1, width - RIGHT)) };
}

/** Draws rows of spans: `{ from, to, name, colour, weight, hasChanged }`. */
export function drawTimeline(context, frame, theme, rows, pointer) {
  context.clearRect(0, 0, frame.width, frame.height);
  context.font = theme.font;
  context.setLineDash([]);
  drawTimeAxis(context, frame, theme);
  context.textBaseline = "middle";
  context.textAlign = "left";
  rows.forEach((spans, i) => {
    context.strokeStyle = theme.grid;
    context.lineWidth = 1;
    strokeLine(context, 0, (i + 1) * rowHeight - 0.5, frame.width - RIGHT, (i + 1) * rowHeight - 0.5);
    const middle = i * rowHeight + rowHeight / 2;
    for (const span of spans) drawSpan(context, frame, theme, span, middle);
  });
  drawPointer(context, frame, theme, pointer);
}

function drawSpan(context, frame, theme, span, middle) {
  const x = frame.x.toPixel(span.from);
  const width = Math.max(MIN_WIDTH, frame.x.toPixel(span.to) - x);
  const height = BAR_HEIGHTS[span.weight];
  const isHollow = span.weight === "rest";
  context.fillStyle = context.strokeStyle = span.colour;
  context.globalAlpha = isHollow ? HOLLOW_ALPHA : 1;
  context.fillRect(x, middle - height / 2, width, height);
  context.globalAlpha = 1;
  if (isHollow) context.strokeRect(x + 0.5, middle - height / 2 + 0.5, Math.max(1, width - 1), height - 1);
  if (span.hasChanged) return drawHatch(context, theme, x, middle, width);
  context.fillStyle = isHollow ? theme.strong : theme.card;
  context.fillText(fitting(context, span.name, width - 2 * PADDING), x + PADDING, middle + 0.5);
}

/** Marks a step in which the state changed, over the whole height of the row. */
function drawHatch(context, theme, x, middle, width) {
  const [top, bottom] = [middle - rowHeight / 2 + 2, middle + rowHeight / 2 - 2];
  context.save();
  context.beginPath();
  context.rect(x, top, width, bottom - top);
  context.clip();
  context.strokeStyle = theme.strong;
  context.lineWidth = 1.25;
  for (let at = x - (bottom - top); at < x + width; at += HATCH_DISTANCE) strokeLine(context, at, bottom, at + bottom - top, top);
  context.restore();
}

/** Returns the name if it fits, else its beginning, else nothing. */
function fitting(context, name, width) {
  if (context.measureText(name).width <= width) return name;
  const length = Math.floor((name.length * width) / context.measureText(name).width) - 1;
  return length >= 3 ? `${name.slice(0, length)}…` : "";
}
