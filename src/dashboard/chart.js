// The card of one field: chart, threshold, legend with current values, and the same data as a table.

import { announce, button, el, labelled, setText } from "./dom.js";
import { bandOf, bucketLength } from "./band.js";
import { fitCanvas } from "./canvas.js";
import { DragZoom } from "./drag_zoom.js";
import { createFrame, draw, valueRange } from "./draw.js";
import { fileName, savePicture } from "./export.js";
import * as format from "./format.js";
import { Legend } from "./legend.js";
import { chooseLines } from "./lines.js";
import { followPointer, showTooltip, timeBelow } from "./pointer.js";
import * as url from "./url.js";

const TABLE_ROWS = 12;

export class Chart {
  /** `view` is what the charts of a page share: series, range of time, theme, pointer position and marks. */
  constructor(field, view) {
    this.field = field;
    this.view = view;
    /** The keys that the user pressed in the legend: see `chooseLines`. */
    this.toggled = new Set();
    this.summaries = new Map();
    this.choice = chooseLines(this.summaries, undefined, this.toggled);
    this.threshold = url.thresholds().get(view.urlName(field));
    this.build();
  }

  build() {
    const id = `field-${this.view.urlName(this.field)}`;
    this.title = el("h3", { id }, this.field);
    this.canvas = el("canvas", { tabIndex: 0, role: "img", class: "plot", "aria-label": `Chart of ${this.field}: no values yet` });
    this.context = this.canvas.getContext("2d");
    this.tooltip = el("div", { class: "tooltip", hidden: true });
    this.badge = el("span", { class: "badge over", hidden: true });
    this.thresholdInput = el("input", { type: "number", step: "any", class: "threshold", value: this.threshold ?? "", placeholder: "none", oninput: () => this.thresholdChanged() });
    this.tableButton = button("Table", () => this.toggleTable(), { class: "small", "aria-expanded": "false" });
    this.fullScreenButton = button("Full screen", () => this.toggleFullScreen(), { class: "small" });
    this.pictureButton = button("PNG", () => this.savePicture(), { class: "small", title: "Download this chart as a picture" });
    this.legend = new Legend(this.field, (key) => this.toggleKey(key), (key) => this.view.lookOf(key).swatch);
    this.dataTable = el("div", { class: "data-table", hidden: true });
    this.element = el("section", { class: "card chart", "aria-labelledby": id },
      el("header", {}, this.title, labelled("Threshold", this.thresholdInput, { class: "field inline" }),
        this.tableButton, this.pictureButton, this.fullScreenButton, this.badge),
      el("div", { class: "plot-box" }, this.canvas, this.tooltip),
      this.legend.element, this.dataTable);
    followPointer(this.canvas, this);
    new DragZoom(this.canvas, (event) => this.timeAt(event), this.view);
  }

  /** The series of the field by key. */
  get keys() {
    return this.view.seriesOf(this.field);
  }

  /** The lines that are drawn. */
  get lines() {
    const { keys, view } = this;
    return [...this.choice.drawn.keys()].filter((key) => keys.has(key)).map((key) => ({ key, series: keys.get(key), ...view.lookOf(key) }));
  }

  draw() {
    const size = fitCanvas(this.canvas, this.context);
    if (size === null) return;
    const { width, height } = size;
    const { from, to, theme, marks, hover, selection } = this.view;
    if (this.keys.size !== this.summaries.size) this.summarize();
    const lines = this.lines;
    const all = [...this.keys.values()];
    const band = this.choice.isBand ? bandOf(all, from, to, bucketLength(all, this.view.step, from, to, width)) : null;
    const extremes = band ?? lines.map(({ series }) => series.summary(from, to));
    const range = valueRange(extremes, this.threshold);
    this.frame = createFrame(width, height, from, to, range);
    this.drawn = { from, to, range, theme, content: { lines, band, threshold: this.threshold, marks } };
    draw(this.context, this.frame, theme, { ...this.drawn.content, hover, selection });
    showTooltip(this.tooltip, this, hover === null ? 0 : this.frame.x.toPixel(hover), width);
  }

  /** Computes the values of every key in the window, and which keys get a line. */
  summarize() {
    const { from, to } = this.view;
    this.summaries = new Map([...this.keys].map(([key, series]) => [key, series.summary(from, to)]));
    this.choice = chooseLines(this.summaries, this.threshold, this.toggled);
  }

  /** Updates the legend, the badge and the accessible label. */
  updateLegend() {
    const { from, to } = this.view;
    this.summarize();
    setText(this.title, this.view.titleOf(this.field));
    this.legend.update(this.summaries, this.choice, this.threshold);
    const { aboveThreshold, drawn, isBand } = this.choice;
    const isAbove = (key) => this.summaries.get(key).current > this.threshold;
    const now = aboveThreshold.filter(isAbove);
    const before = aboveThreshold.filter((key) => !isAbove(key));
    this.badge.hidden = aboveThreshold.length === 0;
    const badges = [now.length && `▲ above threshold: ${named(now)}`, before.length && `▲ was above threshold: ${named(before)}`];
    setText(this.badge, badges.filter(Boolean).join(" · "));
    this.element.classList.toggle("is-over", now.length > 0);
    const spoken = [...drawn.keys()].filter((key) => this.summaries.get(key)).map((key) => `${key} ${format.short(this.summaries.get(key).current)}`);
    const what = isBand ? `Minimum, median and maximum of ${this.keys.size} keys; ` : "";
    const label = `Chart of ${this.view.titleOf(this.field)}, ${format.moment(from)} to ${format.moment(to)}: ${what}${spoken.slice(0, 8).join(", ") || "no values"}. Arrow keys move through time.`;
    if (this.canvas.getAttribute("aria-label") !== label) this.canvas.setAttribute("aria-label", label);
    if (!this.dataTable.hidden) this.fillTable();
  }

  toggleKey(key) {
    if (!this.toggled.delete(key)) this.toggled.add(key);
    this.updateLegend();
    this.view.invalidate();
  }

  thresholdChanged() {
    const text = this.thresholdInput.value.trim();
    this.threshold = text === "" || !Number.isFinite(Number(text)) ? undefined : Number(text);
    url.setThreshold(this.view.urlName(this.field), this.threshold ?? null);
    this.view.invalidate();
    this.updateLegend();
  }

  timeAt(event) {
    return timeBelow(event, this.canvas, this.frame);
  }

  /** Returns the key, the swatch and the exact value of each line at a time, with the extremes where a point merges several records. */
  valuesAt(time) {
    const tolerance = Math.max(4 * (this.view.to - this.view.from) / Math.max(1, this.canvas.clientWidth), this.view.step);
    const found = [];
    for (const line of this.lines) {
      const { series } = line;
      const i = series.nearest(time, Math.max(tolerance, series.interval));
      if (i === null) continue;
      const isMerged = series.min[i] !== series.max[i];
      found.push([line.key, line.swatch, isMerged ? `${format.exact(series.last[i])} (${format.exact(series.min[i])} to ${format.exact(series.max[i])})` : format.exact(series.last[i])]);
    }
    return found;
  }

  toggleTable() {
    this.dataTable.hidden = !this.dataTable.hidden;
    this.tableButton.setAttribute("aria-expanded", String(!this.dataTable.hidden));
    if (!this.dataTable.hidden) this.fillTable();
  }

  fillTable() {
    const { from, to } = this.view;
    if (this.tableFilledAt && performance.now() - this.tableFilledAt < 3000) return;
    this.tableFilledAt = performance.now();
    const lines = this.lines;
    const step = (to - from) / TABLE_ROWS;
    const rows = Array.from({ length: TABLE_ROWS }, (_, i) => {
      const end = to - i * step;
      const cells = lines.map(({ series }) => {
        const s = series.summary(end - step, end);
        if (!s) return "–";
        return s.min === s.max ? format.short(s.current) : `${format.short(s.current)} (${format.short(s.min)} to ${format.short(s.max)})`;
      });
      return el("tr", {}, el("th", { scope: "row" }, format.moment(end)), ...cells.map((text) => el("td", {}, text)));
    });
    const head = el("tr", {}, el("th", { scope: "col" }, "Up to"), ...lines.map((line) => el("th", { scope: "col" }, line.key)));
    this.dataTable.replaceChildren(el("table", {}, el("caption", {}, `${this.view.titleOf(this.field)}: last value (min to max) of every ${format.duration(step)}`), el("thead", {}, head), el("tbody", {}, ...rows)));
  }

  /** Downloads the chart as it was drawn last. */
  async savePicture() {
    if (!this.drawn) return;
    this.summarize();
    const { topic } = this.view.feed;
    const legend = this.drawn.content.lines.map((line) => ({ ...line, summary: this.summaries.get(line.key) }));
    const band = this.choice.isBand ? [`The band is the minimum, median and maximum of ${this.keys.size} keys`] : [];
    const note = ["The last value (minimum to maximum of the range)", ...band, ...this.view.notes].join(". ");
    await savePicture({ ...this.drawn, title: `${topic} · ${this.view.titleOf(this.field)}`, legend, note }, fileName([topic, this.field], this.drawn.from, ".png"));
    announce("Picture saved");
  }

  toggleFullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.element.requestFullscreen?.().catch(() => announce("Full screen is not available here"));
  }
}

/** Returns the first names, and how many more there are. */
function named(keys) {
  return keys.length > 3 ? `${keys.slice(0, 3).join(", ")} and ${keys.length - 3} more` : keys.join(", ");
}
