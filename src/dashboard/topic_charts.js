// The charts of one topic: its series for the range in the URL, their state, and the controls of the range.

import { AlsoTopics } from "./also.js";
import { firstTimestamp } from "./browse.js";
import { Charts } from "./charts.js";
import { Chooser } from "./chooser.js";
import { button, el, setText } from "./dom.js";
import * as feed from "./feed.js";
import * as format from "./format.js";
import { edges, isLive, questionRange, rangeOf } from "./range.js";
import { RangeBar } from "./range_bar.js";
import { SeriesFeed } from "./series_feed.js";
import { questionWithoutShape } from "./shape.js";
import { ShapeTracker } from "./shape_tracker.js";
import { Tiles } from "./tiles.js";
import * as url from "./url.js";

/** The charts open when the shape of the topic has been detected from the first records, and after this time at the latest. */
const SHAPE_TIMEOUT_MS = 700;
/** The state of the charts before their series are opened. */
const NOT_OPEN = { state: { kind: "connecting", detail: "" }, lag: 0, isFixed: false };

export class TopicCharts {
  /** `store` has the newest records of the topic and the gaps of its log. */
  constructor(topic, store) {
    this.topic = topic;
    this.store = store;
    this.series = null;
    this.pausedAt = null;
    this.charts = new Charts(store, (range) => this.range.apply(range));
    this.tiles = new Tiles(topic, this.charts.cards);
    this.also = new AlsoTopics(topic, this.charts);
    this.range = new RangeBar(this.charts, () => this.open());
    this.tracker = new ShapeTracker();
    this.chooser = new Chooser(() => this.choose(), () => this.charts.invalidate());
    this.controls = [...this.range.controls, ...this.chooser.elements, this.charts.menu, this.charts.csv.element, this.also.menu];
    this.outside = el("div", { class: "browse", role: "status", hidden: true });
    this.waiting = el("p", { class: "card nothing", role: "status", hidden: true });
    this.element = el("section", { "aria-labelledby": "charts-title", class: "charts-section" },
      el("h2", { id: "charts-title", class: "offscreen" }, "Charts"), this.range.bar, this.outside, this.waiting, this.charts.nothing, this.charts.element, this.charts.note);
  }

  start() {
    this.charts.start();
    feed.latest.series = NOT_OPEN;
    this.timer = setTimeout(() => this.open(), SHAPE_TIMEOUT_MS);
  }

  stop() {
    clearTimeout(this.timer);
    this.opening = null;
    this.close();
    this.charts.stop();
    this.tiles.stop();
    this.also.stop();
  }

  /** Opens the series of the range in the URL. The charts show the previous ones until the first message. */
  async open() {
    clearTimeout(this.timer);
    this.close();
    feed.latest.series = NOT_OPEN;
    const range = rangeOf(url.state);
    const opening = (this.opening = {});
    const first = range.window === "all" ? await this.firstTimestamp() : undefined;
    if (opening !== this.opening) return;
    const question = this.question(range, first);
    this.series = new SeriesFeed(this.topic, question, () => this.changed(first));
    feed.latest.series = this.series;
    this.also.show({ from: question.from, to: question.to }, first);
  }

  /** Looks at new records of the list. The series are opened again if the shape of the topic has changed. */
  recordsAdded(entries) {
    this.tracker.add(entries);
    this.updateShape();
  }

  updateShape() {
    const before = JSON.stringify(this.tracker.question);
    if (!this.tracker.update(url.state, Date.now())) return;
    const { shape } = this.tracker;
    this.charts.use(shape);
    this.chooser.update(shape);
    if (JSON.stringify(this.tracker.question) !== before) this.open();
  }

  /** Reads the topic as the user has chosen. */
  choose() {
    this.tracker.reset();
    if (this.tracker.total === 0) this.open();
    else this.updateShape();
  }

  /** Returns the time of the first record of all topics on the page. */
  async firstTimestamp() {
    const times = await Promise.all([this.topic, ...this.also.names].map((name) => firstTimestamp(name).catch(() => null)));
    const known = times.filter((time) => time !== null);
    return known.length > 0 ? Math.min(...known) : undefined;
  }

  close() {
    this.series?.stop();
    feed.latest.series = this.series = null;
  }

  /** Returns the question for a range. `first` is the time of the first record, if the range needs it. */
  question(range, first) {
    const parts = this.tracker.question ?? questionWithoutShape(url.state);
    // The clock of the device that sent the first record may be ahead.
    const begin = Math.min(first ?? Infinity, Date.now() - 1000);
    if (this.pausedAt === null || !isLive(range)) return { ...questionRange(range, begin), ...parts };
    // A live range does not move while the page is paused.
    const { from, to } = edges(range, this.pausedAt, first);
    return { from: String(Math.floor(from)), to: String(Math.ceil(to)), ...parts };
  }

  /** Tries again at once, because the topic was created or a session began. */
  retryNow() {
    this.series?.retryNow();
    this.also.retryNow();
  }

  changed(first) {
    const hasPoints = this.series && this.series.step !== null;
    if (this.series) this.tiles.observe(this.series);
    if (this.series?.points > 0) this.waiting.hidden = true;
    if (hasPoints || this.series?.state.kind === "failed") this.charts.show(this.series, first);
    this.updateOutside();
  }

  /** Says where the records are if the range has no values: devices with a wrong clock, or silent ones. */
  updateOutside() {
    const isRead = ["live", "complete"].includes(this.series?.state.kind) && !(this.series.completeFrom > this.series.from);
    const isEmpty = isRead && this.series.points === 0;
    const newest = isEmpty ? this.tracker.newest ?? this.store.newestTimestamp : null;
    const { from, to } = this.charts;
    this.outside.hidden = newest === null || (newest >= from && newest <= to);
    if (this.outside.hidden || this.outside.dataset.at === `${newest}`) return;
    this.outside.dataset.at = `${newest}`;
    // The window may have another length by then.
    const show = () => this.range.apply({ from: String(Math.floor(newest - (this.charts.to - this.charts.from)) + 1), to: String(newest + 1) });
    this.outside.replaceChildren(el("span", {}, `No values in this range. The latest record is from ${format.moment(newest)}.`), el("span", { class: "grow" }), button("Show that time", show, { class: "small strong" }));
  }

  /** Shows a text while there is nothing else in the place of the charts. */
  setWaiting(text) {
    const hasOther = this.charts.charts.size > 0 || this.series?.points > 0 || !this.charts.nothing.hidden || !this.outside.hidden;
    this.waiting.hidden = hasOther;
    if (!hasOther) setText(this.waiting, text);
  }

  pause() {
    this.pausedAt = this.charts.pausedAt = this.series?.now() ?? Date.now();
    this.series?.pause(true);
    this.tiles.pause(true);
    this.also.pause(true);
    this.charts.invalidate();
  }

  resume() {
    this.pausedAt = this.charts.pausedAt = null;
    this.tiles.pause(false);
    this.also.pause(false);
    // A range that was chosen during the pause has an end.
    if (this.series?.question.to && isLive(rangeOf(url.state))) this.open();
    else this.series?.pause(false);
  }
}
