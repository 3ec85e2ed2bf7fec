// All charts of a topic: one card a numeric field, drawn once a frame at most and only where they are seen.

import { el, setText } from "./dom.js";
import { Chart } from "./chart.js";
import { themeOf } from "./draw.js";
import * as url from "./url.js";

const TELL_MS = 250;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

export class Charts {
  constructor(store) {
    this.store = store;
    this.charts = new Map();
    this.keys = new Map();
    this.seen = new Set();
    this.hover = null;
    this.hoverOn = null;
    this.dirty = true;
    this.toldAt = 0;
    this.pausedAt = null;
    this.element = el("div", { class: "charts" });
    this.note = el("p", { class: "note", hidden: true });
    this.menuLabel = el("summary", {}, "Fields");
    this.menu = el("details", { class: "menu", hidden: true }, this.menuLabel, el("fieldset", {}, el("legend", {}, "Charts to show")));
    this.observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) this.seen[isIntersecting ? "add" : "delete"](target);
      this.changed();
    });
    this.resized = new ResizeObserver(() => this.changed());
    this.resized.observe(this.element);
    this.onTheme = () => this.changed((this.theme = themeOf(this.element)));
    dark.addEventListener("change", this.onTheme);
  }

  start() {
    this.theme = themeOf(document.documentElement);
    const tick = () => {
      this.frame = requestAnimationFrame(tick);
      this.tick();
    };
    tick();
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.observer.disconnect();
    this.resized.disconnect();
    dark.removeEventListener("change", this.onTheme);
  }

  changed() {
    this.dirty = true;
  }

  setHover(time, chart) {
    this.hover = time;
    this.hoverOn = chart;
    this.changed();
  }

  /** A key's number, the same in all charts: it chooses the colour. */
  numberOf(key) {
    if (!this.keys.has(key)) this.keys.set(key, this.keys.size);
    return this.keys.get(key);
  }

  get marks() {
    return this.store.marks;
  }

  /** The window's end: now; or, of a topic whose times are not of now, its newest time. */
  place() {
    const now = this.pausedAt ?? Date.now();
    const length = url.windowMs();
    const { newest } = this.store;
    const isOfNow = newest >= now - length && newest <= now + 1000;
    this.to = isOfNow || !Number.isFinite(newest) ? now : newest;
    this.from = this.to - length;
  }

  tick() {
    const before = this.to;
    const [from] = [this.from];
    this.place();
    const width = Math.max(100, this.element.clientWidth || 100);
    // The picture moves by whole pixels; people who want no motion get it once a second.
    const step = calm.matches ? 1000 : Math.max(16, (this.to - this.from) / width);
    const moved = before === undefined || Math.abs(this.to - (this.drawnTo ?? 0)) >= step || from === undefined;
    if (!moved && !this.dirty) return;
    if (calm.matches && !moved && this.hover === null && this.pausedAt === null) return;
    this.dirty = false;
    this.drawnTo = this.to;
    this.discover();
    for (const chart of this.charts.values()) if (this.seen.has(chart.element)) chart.draw();
    if (performance.now() - this.toldAt < TELL_MS) return;
    this.toldAt = performance.now();
    for (const chart of this.charts.values()) if (this.seen.has(chart.element)) chart.tell();
    this.tellNote();
  }

  discover() {
    if (this.charts.size === this.store.fields.size) return;
    const hidden = url.hidden();
    for (const [field, keys] of this.store.fields) {
      if (this.charts.has(field)) continue;
      const chart = new Chart(field, keys, this);
      chart.element.hidden = hidden.has(field);
      this.charts.set(field, chart);
      this.element.append(chart.element);
      this.observer.observe(chart.element);
      const box = el("input", { type: "checkbox", checked: !hidden.has(field), onchange: () => this.show(field, box.checked) });
      this.menu.lastChild.append(el("label", {}, box, el("bdi", {}, field)));
    }
    this.menu.hidden = this.charts.size === 0;
    this.tellMenu();
  }

  show(field, shown) {
    const hidden = url.hidden();
    if (shown) hidden.delete(field);
    else hidden.add(field);
    url.setHidden(hidden);
    this.charts.get(field).element.hidden = !shown;
    this.tellMenu();
    this.changed();
  }

  tellMenu() {
    const shown = [...this.charts.values()].filter((chart) => !chart.element.hidden).length;
    setText(this.menuLabel, `Fields ${shown} of ${this.charts.size}`);
  }

  tellNote() {
    const notes = [];
    const { keysLeftOut, fieldsLeftOut } = this.store;
    if (keysLeftOut.size) notes.push(`${keysLeftOut.size} more keys are not drawn`);
    if (fieldsLeftOut.size) notes.push(`${fieldsLeftOut.size} more fields are not drawn`);
    if (this.marks.length) notes.push(`Dotted lines: ${this.marks.at(-1).text}`);
    this.note.hidden = notes.length === 0;
    setText(this.note, notes.join(". "));
  }
}
