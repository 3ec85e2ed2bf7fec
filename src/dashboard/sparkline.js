// The rate of a topic in the last minutes, as a small drawing.

import { fitCanvas } from "./canvas.js";
import { STALE_AFTER_MS } from "./state.js";

/**
 * Draws the rates from `from` to `to`: [start, end, rate] each, as steps, because a rate is an average. A dotted line marks the
 * time in which the rate is unknown.
 */
export function drawSparkline(canvas, rates, from, to, theme) {
  const context = canvas.getContext("2d");
  const size = fitCanvas(canvas, context);
  if (size === null) return;
  const { width, height } = size;
  context.clearRect(0, 0, width, height);
  const max = Math.max(...rates.map(([, , rate]) => rate), 1e-9);
  const x = (at) => ((Math.max(at, from) - from) / (to - from)) * (width - 4) + 1;
  const y = (rate) => height - 3 - (rate / max) * (height - 7);
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.strokeStyle = theme.text;
  context.setLineDash([1, 4]);
  context.beginPath();
  for (const [start, end] of unknownSpans(rates, from, to)) {
    context.moveTo(x(start), y(0));
    context.lineTo(x(end), y(0));
  }
  context.stroke();
  context.setLineDash([]);
  context.strokeStyle = context.fillStyle = theme.lines[0];
  context.beginPath();
  let before = null;
  for (const [start, end, rate] of rates) {
    if (end < from) continue;
    if (before === start) context.lineTo(x(start), y(rate));
    else context.moveTo(x(start), y(rate));
    context.lineTo(x(end), y(rate));
    before = end;
  }
  context.stroke();
  const last = rates.at(-1);
  if (last && to - last[1] < STALE_AFTER_MS) {
    context.beginPath();
    context.arc(x(last[1]), y(last[2]), 2, 0, 7);
    context.fill();
  }
}

/** Returns the spans between `from` and `to` without a rate, but not the time since the last response. */
export function unknownSpans(rates, from, to) {
  const spans = [];
  let known = from;
  for (const [start, end] of rates) {
    if (start > known) spans.push([known, start]);
    known = Math.max(known, end);
  }
  if (to - known > STALE_AFTER_MS) spans.push([known, to]);
  return spans;
}
