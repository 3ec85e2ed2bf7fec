// The charts of one topic: its series for the range in the URL, their state, and the controls of the range.

import { firstTimestamp } from "./browse.js";
import { Charts } from "./charts.js";
import { button, el } from "./dom.js";
import * as feed from "./feed.js";
import * as format from "./format.js";
import { edges, isLive, questionRange, rangeOf } from "./range.js";
import { RangeBar } from "./range_bar.js";
import { SeriesFeed } from "./series_feed.js";
import { Tiles } from "./tiles.js";
import * as url from "./url.js";

export class TopicCharts {
  /** `store` has the newest records of the topic and the gaps of its log. */
  constructor(topic, store) {
    this.topic = topic;
    this.store = store;
    this.series = null;
    this.pausedAt = null;
    this.tiles = new Tiles(topic);
    this.charts = new Charts(store, (range) => this.range.apply(range));
    this.range = new RangeBar(this.charts, () => this.open());
    this.controls = [...this.range.controls, this.charts.menu, this.charts.csv.element];
    this.outside = el("div", { class: "browse", role: "status", hidden: true });
    this.element = el("section", { "aria-labelledby": "charts-title", class: "charts-section" },
      el("h2", { id: "charts-title", class: "offscreen" }, "Charts"), this.range.bar, this.outside, this.charts.element, this.charts.note);
  }

  start() {
    this.charts.start();
    this.open();
  }

  stop() {
    this.opening = null;
    this.close();
    this.charts.stop();
    this.tiles.stop();
  }

  /** Opens the series of the range in the URL. The charts show the previous ones until the first message. */
  async open() {
    this.close();
    const range = rangeOf(url.state);
    const opening = (this.opening = {});
    const first = range.window === "all" ? await firstTimestamp(this.topic).catch(() => null) : null;
    if (opening !== this.opening) return;
    const question = { ...this.questionRange(range, first ?? undefined), by: "key" };
    this.series = new SeriesFeed(this.topic, question, () => this.changed(first ?? undefined));
    feed.latest.series = this.series;
  }

  close() {
    this.series?.stop();
    feed.latest.series = this.series = null;
  }

  /** A live range does not move while the page is paused. */
  questionRange(range, first) {
    if (this.pausedAt === null || !isLive(range)) return questionRange(range, first ?? Date.now() - 1000);
    const { from, to } = edges(range, this.pausedAt, first);
    return { from: String(Math.floor(from)), to: String(Math.ceil(to)) };
  }

  changed(first) {
    const hasPoints = this.series && this.series.step !== null;
    if (this.series) this.tiles.observe(this.series);
    if (hasPoints || this.series?.state.kind === "failed") this.charts.show(this.series, first);
    this.updateOutside();
  }

  /** Says where the records are if the range has no values: devices with a wrong clock, or silent ones. */
  updateOutside() {
    const isEmpty = ["live", "complete"].includes(this.series?.state.kind) && this.series.points === 0;
    const newest = isEmpty ? this.store.newestTimestamp : null;
    const { from, to } = this.charts;
    this.outside.hidden = newest === null || (newest >= from && newest <= to);
    if (this.outside.hidden || this.outside.dataset.at === `${newest}`) return;
    this.outside.dataset.at = `${newest}`;
    const show = () => this.range.apply({ from: String(Math.floor(newest - (to - from)) + 1), to: String(newest + 1) });
    this.outside.replaceChildren(el("span", {}, `No values in this range. The latest record is from ${format.moment(newest)}.`), el("span", { class: "grow" }), button("Show that time", show, { class: "small strong" }));
  }

  pause() {
    this.pausedAt = this.charts.pausedAt = this.series?.now() ?? Date.now();
    this.series?.pause(true);
    this.tiles.pause(true);
    this.charts.invalidate();
  }

  resume() {
    this.pausedAt = this.charts.pausedAt = null;
    this.tiles.pause(false);
    // A range that was chosen during the pause has an end.
    if (this.series?.question.to && isLive(rangeOf(url.state))) this.open();
    else this.series?.pause(false);
  }
}
