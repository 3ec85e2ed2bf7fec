// The card of a field of states: one row per key with a span for each state, legend, and the changes as a table.

import { fitCanvas } from "./canvas.js";
import { button, el, setText } from "./dom.js";
import { DragZoom } from "./drag_zoom.js";
import { drawTimeline, rowHeight, timelineFrame } from "./draw_timeline.js";
import * as format from "./format.js";
import { KeySearch } from "./key_search.js";
import { followPointer, showTooltip, timeBelow } from "./pointer.js";
import { spanAt, spansOf, stateLooks, statesNow } from "./spans.js";
import { SILENT_AFTER_MS } from "./tile.js";

const MAX_ROWS = 24;
const MAX_CHANGES = 50;
/** The colours of states in the order of their use, as indexes of the line colours. States of rest begin with the last one. */
const LINE_COLOURS = [5, 1, 2, 6, 3, 4, 0, 7];

export class Timeline {
  /** `view` is what the charts of a page share: states, range of time, theme and pointer position. */
  constructor(field, view) {
    this.field = field;
    this.view = view;
    this.rows = new Map();
    this.spans = new Map();
    /** The keys of the rows. */
    this.listed = [];
    const id = `field-${view.urlName(field)}`;
    this.canvas = el("canvas", { tabIndex: 0, role: "img", class: "plot", "aria-label": `Timeline of ${field}: no states yet` });
    this.context = this.canvas.getContext("2d");
    this.tooltip = el("div", { class: "tooltip", hidden: true });
    this.search = new KeySearch(field, { most: MAX_ROWS, omission: "not listed" }, () => view.invalidate());
    this.tableButton = button("Table", () => this.toggleTable(), { class: "small", "aria-expanded": "false" });
    this.list = el("ul", { class: "timeline-keys" });
    this.legend = el("ul", { class: "timeline-legend", "aria-label": `${field}: states and the number of keys in each, without silent ones` });
    this.dataTable = el("div", { class: "data-table", hidden: true, tabIndex: 0, role: "group", "aria-label": `${field}: table of changes` });
    this.element = el("section", { class: "card chart timeline", "aria-labelledby": id },
      el("header", {}, el("h3", { id }, field), el("span", { class: "grow" }), this.search.input, this.tableButton),
      el("div", { class: "timeline-box" }, this.list, el("div", { class: "plot-box" }, this.canvas, this.tooltip)),
      this.search.note, this.legend, this.dataTable);
    followPointer(this.canvas, this);
    new DragZoom(this.canvas, (event) => this.timeAt(event), view);
  }

  /** The states of the field by key: `{ series, names }`. */
  get keys() {
    return this.view.statesOf(this.field);
  }

  draw() {
    const { from, to, theme, hover, selection } = this.view;
    const { keys } = this;
    this.listed = this.search.choose(keys);
    this.updateRows();
    const size = fitCanvas(this.canvas, this.context);
    if (size === null) return;
    const { width, height } = size;
    this.frame = timelineFrame(width, height, from, to);
    this.looks = stateLooks([...new Set([...keys.values()].flatMap(({ names }) => names))].sort(), LINE_COLOURS.length);
    this.spans = new Map(this.listed.map((key) => [key, spansOf(keys.get(key).series, from, to)]));
    const rows = this.listed.map((key) => this.spans.get(key).map((span) => ({ ...span, ...this.look(keys.get(key).names[span.state]) })));
    drawTimeline(this.context, this.frame, theme, rows, { hover, selection });
    showTooltip(this.tooltip, this, hover === null ? 0 : this.frame.x.toPixel(hover), width);
  }

  look(name) {
    const { weight, colour } = this.looks.get(name);
    const { lines, over } = this.view.theme;
    return { name, weight, colour: weight === "fault" ? over : lines[LINE_COLOURS[colour]] };
  }

  swatchOf(name) {
    const look = this.looks?.get(name);
    if (look === undefined) return "";
    return look.weight === "fault" ? "line-over" : `line-${LINE_COLOURS[look.colour]}${look.weight === "rest" ? " hollow" : ""}`;
  }

  /** Adds and removes the rows of the list, which have the same height as those of the plot. */
  updateRows() {
    for (const [key, row] of this.rows) if (!this.listed.includes(key)) { row.element.remove(); this.rows.delete(key); }
    this.listed.forEach((key, i) => {
      let row = this.rows.get(key);
      if (!row) {
        const now = el("span", { class: "muted" });
        row = { now, element: el("li", { title: key }, el("bdi", {}, key), now) };
        row.element.style.height = `${rowHeight}px`;
        this.rows.set(key, row);
      }
      if (this.list.children[i] !== row.element) this.list.insertBefore(row.element, this.list.children[i] ?? null);
    });
  }

  /** Updates the states in the list, the legend and the accessible label. */
  updateLegend() {
    const { keys } = this;
    const { to, isMoving } = this.view;
    const counts = new Map([...(this.looks?.keys() ?? [])].map((name) => [name, 0]));
    const now = statesNow(keys, to);
    for (const { name, end } of now.values()) if (to - end < SILENT_AFTER_MS) counts.set(name, (counts.get(name) ?? 0) + 1);
    for (const [key, row] of this.rows) setText(row.now, now.has(key) ? stateText(now.get(key), to, isMoving) : "no state");
    const entries = [...counts].map(([name, count]) => `${name} ${count}`);
    const hasChanges = [...this.spans.values()].some((spans) => spans.some(({ hasChanged }) => hasChanged));
    const legend = JSON.stringify([entries, hasChanges, this.view.step]);
    if (legend !== this.legendShown) {
      this.legendShown = legend;
      this.legend.replaceChildren(...[...counts].map(([name, count]) =>
        el("li", {}, el("span", { class: `swatch ${this.swatchOf(name)}` }), el("bdi", {}, name), el("span", { class: "muted" }, String(count)))),
        ...(hasChanges ? [el("li", {}, el("span", { class: "swatch changed" }), `changed within ${format.step(this.view.step)}`)] : []));
    }
    const spoken = this.listed.filter((key) => now.has(key)).slice(0, 8).map((key) => `${key} ${now.get(key).name}`);
    const label = `Timeline of ${this.field}: ${spoken.join(", ") || "no states"}. Arrow keys move through time.`;
    if (this.canvas.getAttribute("aria-label") !== label) this.canvas.setAttribute("aria-label", label);
    if (!this.dataTable.hidden) this.fillTable();
  }

  timeAt(event) {
    return timeBelow(event, this.canvas, this.frame);
  }

  /** Returns the state of each listed key at a time. */
  valuesAt(time) {
    return this.listed.flatMap((key) => {
      const span = spanAt(this.spans.get(key) ?? [], time);
      if (!span) return [];
      const name = this.keys.get(key)?.names[span.state];
      return [[key, this.swatchOf(name), span.hasChanged ? `${name} (changed within ${format.step(this.view.step)})` : name]];
    });
  }

  toggleTable() {
    this.dataTable.hidden = !this.dataTable.hidden;
    this.tableButton.setAttribute("aria-expanded", String(!this.dataTable.hidden));
    this.tableShown = "";
    if (!this.dataTable.hidden) this.fillTable();
  }

  fillTable() {
    const spans = this.listed.flatMap((key) => (this.spans.get(key) ?? []).map((span) => ({ ...span, key, name: this.keys.get(key)?.names[span.state] })));
    const latest = spans.sort((a, b) => b.from - a.from).slice(0, MAX_CHANGES);
    const cells = latest.map(({ from, key, name, hasChanged }) => [format.moment(from), key, hasChanged ? `${name} (changed within the step)` : name]);
    const shown = JSON.stringify(cells);
    if (shown === this.tableShown) return;
    this.tableShown = shown;
    const head = el("tr", {}, ...["From", "Key", "State"].map((name) => el("th", { scope: "col" }, name)));
    const rows = cells.map(([from, key, state]) => el("tr", {}, el("th", { scope: "row" }, from), el("td", {}, key), el("td", {}, state)));
    this.dataTable.replaceChildren(el("table", {}, el("caption", {}, `${this.field}: the latest ${latest.length} states`), el("thead", {}, head), el("tbody", {}, ...rows)));
  }
}

/** The latest state of a key, with its age if it is not current. */
function stateText({ name, end }, to, isMoving) {
  if (end >= to) return name;
  return isMoving ? `${name} · ${format.duration(to - end)}` : `${name} · up to ${format.moment(end)}`;
}
