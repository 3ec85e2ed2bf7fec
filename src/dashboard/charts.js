// The charts of a topic: one card per field, drawn at most once per frame and only while it is on screen.

import { el, setText } from "./dom.js";
import { Cards } from "./cards.js";
import { readTheme } from "./draw.js";
import { csvLink } from "./export.js";
import { rateOf } from "./rate.js";
import { edges, isLive, rangeOf, zoomedOut } from "./range.js";
import { seriesNotes } from "./series_notes.js";
import * as url from "./url.js";

const LEGEND_INTERVAL_MS = 250;
const NO_SERIES = new Map();
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const darkScheme = matchMedia("(prefers-color-scheme: dark)");

export class Charts {
  /** `store` has the marks. `onZoom(range)` is called with the `from` and `to` of a part that the user chose. */
  constructor(store, onZoom) {
    this.store = store;
    this.onZoom = onZoom;
    /** The SeriesFeed that is drawn, and the time of the topic's first record if its range needs it. */
    this.feed = null;
    this.first = undefined;
    this.charts = new Map();
    this.cards = new Cards();
    this.boxes = new Map();
    this.rates = new Map();
    this.keys = new Map();
    this.visible = new Set();
    this.hover = null;
    this.hoverChart = null;
    /** The part of the range that is being selected, as [from, to], or null. */
    this.selection = null;
    this.dirty = true;
    this.legendsUpdatedAt = 0;
    this.pausedAt = null;
    this.element = el("div", { class: "charts" });
    this.note = el("p", { class: "note", hidden: true });
    this.menuLabel = el("summary", {}, "Fields");
    this.menu = el("details", { class: "menu", hidden: true }, this.menuLabel, el("fieldset", {}, el("legend", {}, "Charts to show")));
    this.csv = csvLink(this);
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

  /** Draws the series of this feed from now on. `first` is the time of the topic's first record, if the range needs it. */
  show(feed, first) {
    if (this.feed && readingOf(feed) !== readingOf(this.feed)) this.removeCards();
    this.feed = feed;
    this.first = first;
    this.invalidate();
  }

  invalidate() {
    this.dirty = true;
  }

  /** Uses what is known of the topic's records. */
  use(shape) {
    this.cards.use(shape);
    this.updateHidden();
    this.invalidate();
  }

  /** The series of a field as it is shown: key → Series. */
  seriesOf(field) {
    if (!url.rateFields().has(field)) return this.valuesOf(field);
    if (!this.rates.has(field)) this.rates.set(field, new Map([...this.valuesOf(field)].map(([key, series]) => [key, rateOf(series)])));
    return this.rates.get(field);
  }

  /** The measured series of a field: key → Series. */
  valuesOf(field) {
    return this.feed?.fields.get(field) ?? NO_SERIES;
  }

  /** The states of a field: key → `{ series, names }`. */
  statesOf(field) {
    return this.feed?.states.get(field) ?? NO_SERIES;
  }

  titleOf(field) {
    return this.cards.titleOf(field, url.rateFields().has(field));
  }

  /** The length of a point in ms. */
  get step() {
    return this.feed?.step ?? 1000;
  }

  setHover(time, chart) {
    this.hover = time;
    this.hoverChart = chart;
    this.invalidate();
  }

  select(selection) {
    this.selection = selection;
    this.invalidate();
  }

  zoomOut() {
    this.onZoom(zoomedOut(this, this.feed?.now() ?? Date.now()));
  }

  /** Returns the index of a key, which chooses its colour. It is the same in all charts. */
  keyIndex(key) {
    if (!this.keys.has(key)) this.keys.set(key, this.keys.size);
    return this.keys.get(key);
  }

  get marks() {
    return this.store.marks;
  }

  /** Updates the edges of the charts. A live range ends now, by the server's clock. */
  updateEdges() {
    const range = rangeOf(url.state);
    this.isMoving = isLive(range) && this.pausedAt === null;
    const now = this.pausedAt ?? this.feed?.now() ?? Date.now();
    Object.assign(this, edges(range, now, this.first));
  }

  tick() {
    const isFirst = this.to === undefined;
    this.updateEdges();
    const width = Math.max(100, this.element.clientWidth || 100);
    // A movement of less than a pixel is not worth a redraw. With reduced motion, once a second is enough.
    const step = reducedMotion.matches ? 1000 : Math.max(16, (this.to - this.from) / width);
    const moved = isFirst || Math.abs(this.to - (this.drawnTo ?? 0)) >= step;
    const mayWait = reducedMotion.matches && this.isMoving && this.hover === null;
    if (moved || (this.dirty && !mayWait)) this.draw();
    if (!this.legendsAreOld || performance.now() - this.legendsUpdatedAt < LEGEND_INTERVAL_MS) return;
    this.legendsAreOld = false;
    this.legendsUpdatedAt = performance.now();
    this.rates.clear();
    for (const chart of this.charts.values()) if (this.visible.has(chart.element)) chart.updateLegend();
    this.updateNote();
  }

  draw() {
    this.dirty = false;
    this.legendsAreOld = true;
    this.drawnTo = this.to;
    this.rates.clear();
    this.addNewCards();
    for (const chart of this.charts.values()) if (this.visible.has(chart.element)) chart.draw();
  }

  addNewCards() {
    if (!this.feed) return;
    const missing = [...this.cards.of(this.feed, this)].filter(([name]) => !this.charts.has(name));
    if (missing.length === 0) return;
    for (const [name, create] of missing) {
      const chart = create();
      this.charts.set(name, chart);
      this.element.append(chart.element);
      this.visibilityObserver.observe(chart.element);
      const box = el("input", { type: "checkbox", onchange: () => this.setFieldShown(name, box.checked) });
      this.boxes.set(name, box);
      this.menu.lastChild.append(el("label", {}, box, el("bdi", {}, name)));
    }
    this.updateHidden();
  }

  /** Removes the cards of a topic that is read in another way from now on. */
  removeCards() {
    for (const { element } of this.charts.values()) {
      this.visibilityObserver.unobserve(element);
      this.visible.delete(element);
      element.remove();
    }
    for (const box of this.boxes.values()) box.parentElement.remove();
    this.charts.clear();
    this.boxes.clear();
    this.updateHidden();
  }

  setFieldShown(name, isShown) {
    url.setFieldShown(name, isShown, this.cards.hiddenAtFirst);
    this.updateHidden();
    this.invalidate();
  }

  updateHidden() {
    const hidden = url.hiddenFields(this.cards.hiddenAtFirst);
    for (const [name, { element }] of this.charts) {
      element.hidden = hidden.has(name);
      this.boxes.get(name).checked = !element.hidden;
    }
    const shown = [...this.charts.values()].filter((chart) => !chart.element.hidden).length;
    this.menu.hidden = this.charts.size === 0;
    setText(this.menuLabel, `Fields ${shown} of ${this.charts.size}`);
  }

  /** The sentences about the charts. */
  get notes() {
    const notes = this.feed ? seriesNotes(this.feed) : [];
    return this.marks.length === 0 ? notes : [...notes, `Dotted lines: ${this.marks.at(-1).text}`];
  }

  updateNote() {
    const { notes } = this;
    this.csv.update();
    this.note.hidden = notes.length === 0;
    setText(this.note, notes.join(". "));
  }
}

/** What the series of a feed are: with other ones, nothing on the cards stays. */
function readingOf({ question: { by, each, time } }) {
  return JSON.stringify([by, each, time]);
}
