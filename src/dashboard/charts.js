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
/** Keys with the same colour differ by these. */
const DASHES = [[], [6, 3], [2, 3]];
const MAX_COLOURED_KEYS = 10_000;
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const darkScheme = matchMedia("(prefers-color-scheme: dark)");

export class Charts {
  /**
   * `store` has the marks. `onZoom(range)` is called with the `from` and `to` of a part that the user chose. Charts of
   * another topic on the page have a `leader`: the charts whose range, pointer and colours they share.
   */
  constructor(store, onZoom, { leader = null, topic = "" } = {}) {
    this.store = store;
    this.leader = leader ?? this;
    /** What the names of fields begin with in the URL: the names of another topic's fields begin with the topic. */
    this.prefix = leader ? `${topic}/` : "";
    this.onZoom = onZoom;
    /** The SeriesFeed that is drawn, and the time of the topic's first record if its range needs it. */
    this.feed = null;
    this.first = undefined;
    this.charts = new Map();
    this.cards = new Cards();
    this.boxes = new Map();
    this.rates = new Map();
    this.keys = leader?.keys ?? new Map();
    /** The time at the pointer and the chart below it, and the part of the range that is being selected, as [from, to], or null. */
    this.pointer = leader?.pointer ?? { time: null, chart: null, selection: null, views: new Set() };
    this.pointer.views.add(this);
    this.visible = new Set();
    this.dirty = true;
    this.legendsUpdatedAt = 0;
    this.pausedAt = null;
    this.element = el("div", { class: "charts" });
    this.nothing = el("p", { class: "card nothing", role: "status", hidden: true });
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
    this.pointer.views.delete(this);
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

  /** Uses the shape of the topic. */
  use(shape) {
    this.cards.use(shape);
    this.nothing.hidden = shape.reason === "" || shape.fields.length > 0;
    setText(this.nothing, `Nothing to draw: the latest values are ${shape.reason}.`);
    this.updateHidden();
    this.invalidate();
  }

  /** The series of a field as it is shown: key → Series. */
  seriesOf(field) {
    if (!this.isRate(field)) return this.valuesOf(field);
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
    return this.cards.titleOf(field, this.isRate(field));
  }

  /** The name of a field in the URL. */
  urlName(field) {
    return this.prefix + field;
  }

  isRate(field) {
    return url.rateFields().has(this.urlName(field));
  }

  /** The length of a point in ms. */
  get step() {
    return this.feed?.step ?? 1000;
  }

  get hover() {
    return this.pointer.time;
  }

  get hoverChart() {
    return this.pointer.chart;
  }

  get selection() {
    return this.pointer.selection;
  }

  setHover(time, chart) {
    Object.assign(this.pointer, { time, chart });
    this.pointer.views.forEach((view) => view.invalidate());
  }

  select(selection) {
    this.pointer.selection = selection;
    this.pointer.views.forEach((view) => view.invalidate());
  }

  zoomOut() {
    this.onZoom(zoomedOut(this, this.feed?.now() ?? Date.now()));
  }

  /** Returns the index of a key, which chooses its colour. It is the same in all charts. */
  keyIndex(key) {
    // In a topic whose keys are never seen again, colours start over.
    if (this.keys.size >= MAX_COLOURED_KEYS) this.keys.clear();
    if (!this.keys.has(key)) this.keys.set(key, this.keys.size);
    return this.keys.get(key);
  }

  /** Returns how a key is drawn in all charts: `{ colour, dash, swatch }`. The swatch is a class of style.css. */
  lookOf(key) {
    const { lines } = this.theme;
    const i = this.keyIndex(key);
    return { colour: lines[i % lines.length], dash: DASHES[Math.floor(i / lines.length) % DASHES.length], swatch: `line-${i % lines.length}` };
  }

  get marks() {
    return this.store.marks;
  }

  /** Updates the edges of the charts. A live range ends now, by the server's clock. */
  updateEdges() {
    if (this.leader !== this) {
      const { from, to, isMoving } = this.leader;
      return Object.assign(this, { from, to, isMoving });
    }
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
    url.setFieldShown(this.urlName(name), isShown, this.hiddenAtFirst);
    this.updateHidden();
    this.invalidate();
  }

  get hiddenAtFirst() {
    return new Set([...this.cards.hiddenAtFirst].map((name) => this.urlName(name)));
  }

  updateHidden() {
    const hidden = url.hiddenFields(this.hiddenAtFirst);
    for (const [name, { element }] of this.charts) {
      element.hidden = hidden.has(this.urlName(name));
      this.boxes.get(name).checked = !element.hidden;
    }
    const shown = [...this.charts.values()].filter((chart) => !chart.element.hidden).length;
    this.menu.hidden = this.charts.size === 0;
    setText(this.menuLabel, `Fields ${shown} of ${this.charts.size}`);
  }

  /** The sentences about the charts. */
  get notes() {
    const notes = this.feed ? [...seriesNotes(this.feed), ...this.cards.notes] : [];
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
