// The charts of a topic: one card per numeric field, drawn at most once per frame and only while it is on screen.

import { el, setText } from "./dom.js";
import { Chart } from "./chart.js";
import { readTheme } from "./draw.js";
import * as url from "./url.js";

const LEGEND_INTERVAL_MS = 250;
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const darkScheme = matchMedia("(prefers-color-scheme: dark)");

export class Charts {
  constructor(store) {
    this.store = store;
    this.charts = new Map();
    this.keys = new Map();
    this.visible = new Set();
    this.hover = null;
    this.hoverChart = null;
    this.dirty = true;
    this.legendsUpdatedAt = 0;
    this.pausedAt = null;
    this.element = el("div", { class: "charts" });
    this.note = el("p", { class: "note", hidden: true });
    this.menuLabel = el("summary", {}, "Fields");
    this.menu = el("details", { class: "menu", hidden: true }, this.menuLabel, el("fieldset", {}, el("legend", {}, "Charts to show")));
    this.visibilityObserver = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) this.visible[isIntersecting ? "add" : "delete"](target);
      this.invalidate();
    });
    this.resizeObserver = new ResizeObserver(() => this.invalidate());
    this.resizeObserver.observe(this.element);
    this.onTheme = () => this.invalidate((this.theme = readTheme(this.element)));
    darkScheme.addEventListener("change", this.onTheme);
  }

  start() {
    this.theme = readTheme(document.documentElement);
    const tick = () => {
      this.frame = requestAnimationFrame(tick);
      this.tick();
    };
    tick();
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.visibilityObserver.disconnect();
    this.resizeObserver.disconnect();
    darkScheme.removeEventListener("change", this.onTheme);
  }

  invalidate() {
    this.dirty = true;
  }

  setHover(time, chart) {
    this.hover = time;
    this.hoverChart = chart;
    this.invalidate();
  }

  /** Returns the index of a key, which chooses its colour. It is the same in all charts. */
  keyIndex(key) {
    if (!this.keys.has(key)) this.keys.set(key, this.keys.size);
    return this.keys.get(key);
  }

  get marks() {
    return this.store.marks;
  }

  /** Updates the time window. It ends now, or at the newest timestamp if the topic's timestamps are not current. */
  updateWindow() {
    const now = this.pausedAt ?? Date.now();
    const length = url.windowMs();
    const { newest } = this.store;
    const isCurrent = newest >= now - length && newest <= now + 1000;
    this.to = isCurrent || !Number.isFinite(newest) ? now : newest;
    this.from = this.to - length;
  }

  tick() {
    const isFirst = this.to === undefined;
    this.updateWindow();
    const width = Math.max(100, this.element.clientWidth || 100);
    // A movement of less than a pixel is not worth a redraw. With reduced motion, once a second is enough.
    const step = reducedMotion.matches ? 1000 : Math.max(16, (this.to - this.from) / width);
    const moved = isFirst || Math.abs(this.to - (this.drawnTo ?? 0)) >= step;
    if (!moved && !this.dirty) return;
    if (reducedMotion.matches && !moved && this.hover === null && this.pausedAt === null) return;
    this.dirty = false;
    this.drawnTo = this.to;
    this.addNewFields();
    for (const chart of this.charts.values()) if (this.visible.has(chart.element)) chart.draw();
    if (performance.now() - this.legendsUpdatedAt < LEGEND_INTERVAL_MS) return;
    this.legendsUpdatedAt = performance.now();
    for (const chart of this.charts.values()) if (this.visible.has(chart.element)) chart.updateLegend();
    this.updateNote();
  }

  addNewFields() {
    if (this.charts.size === this.store.fields.size) return;
    const hidden = url.hiddenFields();
    for (const [field, keys] of this.store.fields) {
      if (this.charts.has(field)) continue;
      const chart = new Chart(field, keys, this);
      chart.element.hidden = hidden.has(field);
      this.charts.set(field, chart);
      this.element.append(chart.element);
      this.visibilityObserver.observe(chart.element);
      const box = el("input", { type: "checkbox", checked: !hidden.has(field), onchange: () => this.setFieldShown(field, box.checked) });
      this.menu.lastChild.append(el("label", {}, box, el("bdi", {}, field)));
    }
    this.menu.hidden = this.charts.size === 0;
    this.updateMenu();
  }

  setFieldShown(field, shown) {
    const hidden = url.hiddenFields();
    if (shown) hidden.delete(field);
    else hidden.add(field);
    url.setHiddenFields(hidden);
    this.charts.get(field).element.hidden = !shown;
    this.updateMenu();
    this.invalidate();
  }

  updateMenu() {
    const shown = [...this.charts.values()].filter((chart) => !chart.element.hidden).length;
    setText(this.menuLabel, `Fields ${shown} of ${this.charts.size}`);
  }

  updateNote() {
    const notes = [];
    const { omittedKeys, omittedFields } = this.store;
    if (omittedKeys.size) notes.push(`${omittedKeys.size} more keys are not counted`);
    if (omittedFields.size) notes.push(`${omittedFields.size} more fields are not shown`);
    if (this.marks.length) notes.push(`Dotted lines: ${this.marks.at(-1).text}`);
    this.note.hidden = notes.length === 0;
    setText(this.note, notes.join(". "));
  }
}
