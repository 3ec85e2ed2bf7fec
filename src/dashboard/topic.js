// One topic, live: its charts and its records; pausing, catching up, jumping to now.

import { root } from "./base.js";
import { describe } from "./browse.js";
import { Charts } from "./charts.js";
import { button, command, el, labelled, setText } from "./dom.js";
import * as feed from "./feed.js";
import * as format from "./format.js";
import { Records } from "./records.js";
import { Store } from "./store.js";
import * as url from "./url.js";

/** Records of before that the page begins with. */
const BACKFILL = 10_000;
/** Records that wait while the page is paused; then the stream waits too. */
const MOST_WAITING = 20_000;
/** So far behind, the page offers to jump to now. */
const FAR_BEHIND = 15_000;
const SLICE_MS = 8;

export class Topic {
  constructor(produce) {
    this.name = url.state.topic;
    this.store = new Store();
    this.charts = new Charts(this.store);
    this.records = new Records(this.name, this.store, (record, value) => produce.open(this.name, record, value));
    this.waiting = [];
    this.resume = null;
    this.pauseButton = button("Pause", () => (this.paused ? this.goOn() : this.pause()), { "aria-pressed": "false", id: "pause" });
    this.behind = el("div", { class: "banner", role: "status", hidden: true });
    this.empty = el("div", { class: "card empty", hidden: true });
    const windows = el("select", { id: "window", onchange: () => { url.replace({ window: windows.value }); this.charts.changed(); } },
      ...[...url.WINDOWS.keys()].map((name) => el("option", { value: name, selected: name === url.state.window }, name)));
    this.facts = el("span", { class: "muted" });
    this.chartsSection = el("section", { "aria-labelledby": "charts-title", class: "charts-section" },
      el("h2", { id: "charts-title", class: "offscreen" }, "Charts"), this.charts.element, this.charts.note);
    this.element = el("div", {},
      el("div", { class: "toolbar" }, el("h1", {}, el("bdi", {}, this.name)), this.facts, el("span", { class: "grow" }),
        labelled("Window", windows, { class: "field inline" }), this.charts.menu, this.pauseButton,
        button("Full screen", () => document.documentElement.requestFullscreen?.(), { class: "wide" }),
        button("Produce…", () => produce.open(this.name), { class: "primary" })),
      this.behind, this.empty, this.chartsSection, this.records.element);
    this.offs = [feed.on("records", (records) => this.take(records)), feed.on("topics", (news) => this.tell(news))];
    this.charts.start();
    this.follow();
  }

  stop() {
    this.stopped = true;
    this.offs.forEach((off) => off());
    this.resume?.();
    this.charts.stop();
    this.records.stop();
  }

  /** From some records back; a topic that is not there yet from its beginning. */
  async follow() {
    const partitions = await describe(this.name).then((topic) => topic.partitions, () => []);
    if (this.stopped) return;
    const share = Math.ceil(BACKFILL / Math.max(1, partitions.length));
    const known = partitions.filter((p) => p.latest !== null);
    feed.follow(this.name, new Map(known.map((p) => [p.partition, Math.max(p.earliest, p.latest - share)])));
    if (feed.latest.topics) this.tell(feed.latest.topics);
  }

  get paused() {
    return this.charts.pausedAt !== null;
  }

  async take(records) {
    if (this.paused) {
      this.waiting.push(...records);
      this.tellPause();
      // Not taken before the person goes on: the hub keeps the place, so that nothing is lost.
      if (this.waiting.length >= MOST_WAITING) await new Promise((resolve) => (this.resume = resolve));
      return;
    }
    await this.add(records);
  }

  /** Adds records in slices, so that the page stays quick whatever comes. */
  async add(records) {
    let until = performance.now() + SLICE_MS;
    let from = this.store.total;
    for (const [kind, data] of records) {
      this.store.add(kind, data);
      if (performance.now() < until) continue;
      from = this.show(from);
      await new Promise((resolve) => setTimeout(resolve));
      if (this.stopped) return;
      until = performance.now() + SLICE_MS;
    }
    this.show(from);
  }

  /** Shows what was added since a serial; returns the next one. */
  show(from) {
    const added = this.store.entries.slice(from - this.store.dropped);
    this.store.trim();
    this.records.added(added);
    this.charts.changed();
    if (!this.firstAt && this.store.total > 0) performance.mark("first-record", { detail: (this.firstAt = performance.now()) });
    this.tellEmpty();
    return this.store.total;
  }

  pause() {
    this.charts.pausedAt = Date.now();
    this.charts.changed();
    this.pauseButton.setAttribute("aria-pressed", "true");
    this.tellPause();
  }

  async goOn() {
    this.charts.pausedAt = null;
    this.pauseButton.setAttribute("aria-pressed", "false");
    setText(this.pauseButton, "Pause");
    const waiting = this.waiting;
    this.waiting = [];
    await this.add(waiting);
    this.resume?.();
    this.resume = null;
  }

  tellPause() {
    const waiting = this.waiting.length + (this.lag ?? 0);
    if (this.paused) setText(this.pauseButton, waiting ? `Resume (${format.count(waiting)} waiting)` : "Resume");
  }

  tell(news) {
    const topic = news.topics?.find(({ name }) => name === this.name);
    this.known = topic;
    this.tellEmpty();
    if (!topic) return setText(this.facts, news.topics ? "not there yet" : "");
    setText(this.facts, `${topic.partitions.length} ${topic.partitions.length === 1 ? "partition" : "partitions"} · ${format.rate(topic.rate)} records/s`);
    const place = feed.place();
    this.lag = topic.partitions.reduce((sum, p) => sum + Math.max(0, (p.latest ?? 0) - (place.get(p.partition) ?? 0)), 0);
    this.tellPause();
    this.behind.hidden = this.paused || this.lag < FAR_BEHIND;
    if (this.behind.hidden) return;
    this.behind.replaceChildren(el("span", {}, `${format.count(this.lag)} records came while nobody looked; reading them in order.`), el("span", { class: "grow" }), button("Jump to now", () => this.jumpToNow(), { class: "small strong" }));
  }

  /** Skips what was missed, and says so in the list and in the charts. */
  jumpToNow() {
    const place = feed.place();
    const ends = new Map(this.known.partitions.filter((p) => p.latest !== null).map((p) => [p.partition, p.latest]));
    const skipped = [...ends].filter(([partition, to]) => to > (place.get(partition) ?? 0)).map(([partition, to]) =>
      ["gap", JSON.stringify({ topic: this.name, partition, from: place.get(partition) ?? 0, to, reason: "skipped" })]);
    feed.follow(this.name, ends);
    this.behind.hidden = true;
    this.add(skipped);
  }

  tellEmpty() {
    const isEmpty = this.store.total === 0 && (!this.known || this.known.written === 0 || this.known.partitions.every((p) => p.latest === p.earliest));
    this.empty.hidden = !isEmpty;
    this.chartsSection.hidden = this.store.fields.size === 0;
    if (!isEmpty || this.empty.childElementCount) return;
    this.empty.append(el("h2", {}, "No records yet"), el("p", {}, "This page shows the first one as soon as it is sent:"),
      command(`curl -d '{"temperature": 21.5}' '${root}topics/${this.name}?key=boiler'`));
  }
}
