// The time under the pointer, which all charts of a page show, by mouse, touch or arrow keys.

import { announce, el } from "./dom.js";
import * as format from "./format.js";

const MAX_TOOLTIP_ROWS = 12;
const TOOLTIP_DISTANCE = 12;

/**
 * Lets the pointer and the arrow keys move the time over a plot. `chart` has the `view` that the charts share,
 * `timeAt(event)`, which returns null without a plot, and `valuesAt(time)`, which returns `[key, swatch class, text]` of
 * each value.
 */
export function followPointer(plot, chart) {
  const { view } = chart;
  const leave = () => view.setHover(null, null);
  plot.addEventListener("pointermove", (event) => {
    const time = chart.timeAt(event);
    if (time !== null) view.setHover(time, chart);
  });
  plot.addEventListener("pointerleave", leave);
  plot.addEventListener("blur", leave);
  plot.addEventListener("keydown", (event) => keyPressed(event, chart));
}

/** Returns the time below the pointer, within the range of a plot; null before the plot is drawn. */
export function timeBelow(event, plot, frame) {
  if (!frame) return null;
  const x = event.clientX - plot.getBoundingClientRect().left;
  return Math.max(frame.from, Math.min(frame.to, frame.x.toValue(x)));
}

function keyPressed(event, chart) {
  const { from, to, hover } = chart.view;
  const step = (to - from) / (event.shiftKey ? 10 : 100);
  const at = { ArrowLeft: (hover ?? to) - step, ArrowRight: (hover ?? to) + step, Home: from, End: to, Escape: null }[event.key];
  if (at === undefined) return;
  event.preventDefault();
  const time = at === null ? null : Math.max(from, Math.min(to, at));
  chart.view.setHover(time, chart);
  if (time !== null) announce(`${format.moment(time)}: ${chart.valuesAt(time).map(([key, , text]) => `${key} ${text}`).join(", ") || "no values"}`);
}

/** Shows the values at the time under the pointer beside it, or hides the tooltip if the pointer is over another chart. */
export function showTooltip(tooltip, chart, x, width) {
  const { hover, hoverChart } = chart.view;
  tooltip.hidden = hover === null || hoverChart !== chart;
  if (tooltip.hidden) return;
  const values = chart.valuesAt(hover).slice(0, MAX_TOOLTIP_ROWS);
  tooltip.replaceChildren(el("strong", {}, format.moment(hover)), ...values.map(([key, swatch, text]) =>
    el("div", {}, el("span", { class: `swatch ${swatch}` }), el("bdi", {}, key), el("span", { class: "value" }, text))));
  const left = x > width / 2 ? x - tooltip.offsetWidth - TOOLTIP_DISTANCE : x + TOOLTIP_DISTANCE;
  tooltip.style.transform = `translate(${Math.round(Math.max(0, left))}px, 8px)`;
}
