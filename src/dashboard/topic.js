// The page of one topic: live charts and records, with pause, resume and jump to now.

import { fetchTopic } from "./browse.js";
import { button, el, setText } from "./dom.js";
import * as feed from "./feed.js";
import { firstSteps } from "./first_steps.js";
import * as format from "./format.js";
import { Navigation } from "./navigate.js";
import { RecordsPanel } from "./records.js";
import { chartsText, lagOf, listText } from "./state.js";
import { pageFacts } from "./status.js";
import { Store } from "./store.js";
import { TopicCharts } from "./topic_charts.js";
import * as url from "./url.js";

/** Earlier records that the list loads first. The charts need none of them. */
const BACKFILL_RECORDS = 1000;
/** Records that a paused page keeps; beyond that, it stops acknowledging. */
const MAX_WAITING = 20_000;
/** The lag at which the page offers to jump to now. */
const FAR_BEHIND_RECORDS = 15_000;
const SLICE_MS = 8;
const WAITING_INTERVAL_MS = 500;

export class TopicView {
  constructor(produce) {
    this.name = url.state.topic;
    this.store = new Store();
    this.charts = new TopicCharts(this.name, this.store);
    this.navigation = new Navigation(this.charts.charts, (range) => this.charts.range.apply(range));
    this.records = new RecordsPanel(this.name, this.store, (record, value) => produce.open(this.name, record, value));
    this.waiting = [];
    this.unblock = null;
    this.pauseButton = button("Pause", () => this.togglePause(), { "aria-pressed": "false", id: "pause" });
    this.behindBanner = el("div", { class: "banner", role: "status", hidden: true });
    this.empty = el("div", { class: "card empty", hidden: true });
    this.facts = el("span", { class: "muted" });
    this.element = el("div", {},
      el("div", { class: "toolbar" }, el("h1", {}, el("bdi", {}, this.name)), this.facts, el("span", { class: "grow" }),
        el("div", { class: "controls" }, ...this.charts.controls, this.pauseButton,
          button("Full screen", () => document.documentElement.requestFullscreen?.(), { class: "wide" }))),
      this.behindBanner, this.empty, this.charts.tiles.element, this.charts.element, this.charts.also.element, this.records.element);
    this.subscriptions = [feed.on("records", (records) => this.receive(records)), feed.on("topics", (update) => this.update(update))];
    this.charts.start();
    this.timer = setInterval(() => this.updateWaiting(), WAITING_INTERVAL_MS);
    this.updateWaiting();
    this.follow();
  }

  stop() {
    this.stopped = true;
    clearInterval(this.timer);
    feed.latest.paused = false;
    this.subscriptions.forEach((unsubscribe) => unsubscribe());
    this.unblock?.();
    this.charts.stop();
    this.records.stop();
  }

  /** Follows the topic from some records before its end, or from the beginning if it does not exist yet. */
  async follow() {
    const partitions = await fetchTopic(this.name).then((topic) => topic.partitions, () => []);
    if (this.stopped) return;
    const share = Math.ceil(BACKFILL_RECORDS / Math.max(1, partitions.length));
    const readable = partitions.filter((p) => p.latest !== null);
    feed.follow(this.name, new Map(readable.map((p) => [p.partition, Math.max(p.earliest, p.latest - share)])));
    if (feed.latest.topics) this.update(feed.latest.topics);
  }

  get paused() {
    return this.charts.pausedAt !== null;
  }

  async receive(records) {
    if (this.paused) {
      this.waiting.push(...records);
      this.updatePauseButton();
      // Without an acknowledgement the hub keeps the position of this tab, so no record is lost.
      if (this.waiting.length >= MAX_WAITING) await new Promise((resolve) => (this.unblock = resolve));
      return;
    }
    await this.add(records);
  }

  /** Adds records in short slices to keep the page responsive. */
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

  /** Shows the entries added since a serial number; returns the next serial number. */
  show(from) {
    const added = this.store.entries.slice(from - this.store.dropped);
    this.store.trim();
    this.records.entriesAdded(added);
    this.charts.recordsAdded(added);
    if (!this.firstAt && this.store.total > 0) performance.mark("first-record", { detail: (this.firstAt = performance.now()) });
    this.updateEmpty();
    return this.store.total;
  }

  togglePause() {
    if (this.paused) this.resume();
    else this.pause();
  }

  pause() {
    feed.latest.paused = true;
    this.charts.pause();
    this.pauseButton.setAttribute("aria-pressed", "true");
    this.updatePauseButton();
  }

  async resume() {
    feed.latest.paused = false;
    this.charts.resume();
    this.pauseButton.setAttribute("aria-pressed", "false");
    setText(this.pauseButton, "Pause");
    const waiting = this.waiting;
    this.waiting = [];
    await this.add(waiting);
    this.unblock?.();
    this.unblock = null;
  }

  updatePauseButton() {
    const waiting = this.waiting.length + (this.lag ?? 0);
    if (this.paused) setText(this.pauseButton, waiting ? `Resume (${format.count(waiting)} waiting)` : "Resume");
  }

  update(update) {
    const topic = update.topics?.find(({ name }) => name === this.name);
    if (topic && !this.topic) this.charts.retryNow();
    this.topic = topic;
    this.updateEmpty();
    if (!topic) return setText(this.facts, update.topics ? "does not exist yet" : "");
    // The rate of the last response says nothing about now if the broker does not answer.
    const rate = update.broker.kind === "up" ? topic.rate : null;
    setText(this.facts, `${topic.partitions.length} ${topic.partitions.length === 1 ? "partition" : "partitions"} · ${format.rate(rate)} records/s`);
    this.lag = lagOf(topic, feed.position());
    this.records.setTopicTotal(topic.partitions.reduce((sum, p) => sum + (p.latest ?? 0) - (p.earliest ?? 0), 0));
    this.charts.updateOutside();
    this.updatePauseButton();
    this.behindBanner.hidden = this.paused || this.lag < FAR_BEHIND_RECORDS;
    if (this.behindBanner.hidden) return;
    this.behindBanner.replaceChildren(el("span", {}, `${format.count(this.lag)} records behind; catching up in order.`), el("span", { class: "grow" }), button("Jump to now", () => this.jumpToNow(), { class: "small strong" }));
  }

  /** Skips to the end offsets, and marks the skipped records as gaps in the list and the charts. */
  jumpToNow() {
    const position = feed.position();
    const endOffsets = new Map(this.topic.partitions.filter((p) => p.latest !== null).map((p) => [p.partition, p.latest]));
    const skipped = [...endOffsets].filter(([partition, to]) => to > (position.get(partition) ?? 0)).map(([partition, to]) =>
      ["gap", JSON.stringify({ topic: this.name, partition, from: position.get(partition) ?? 0, to, reason: "skipped" })]);
    feed.follow(this.name, endOffsets);
    this.behindBanner.hidden = true;
    this.add(skipped);
  }

  /** Says in the place of the charts and of the list why they are empty. */
  updateWaiting() {
    if (document.hidden) return;
    const facts = pageFacts();
    this.charts.setWaiting(chartsText(facts));
    this.records.setWaiting(this.store.total === 0 ? listText(facts) : "");
  }

  updateEmpty() {
    this.updateWaiting();
    const { topics, broker } = feed.latest.topics ?? {};
    const isKnown = topics && broker.kind !== "signed-out";
    const isEmpty = isKnown && this.store.total === 0 && (!this.topic || this.topic.written === 0 || this.topic.partitions.every((p) => p.latest === p.earliest));
    this.empty.hidden = !isEmpty;
    this.charts.element.hidden = isEmpty;
    if (isEmpty && !this.empty.childElementCount) this.empty.append(...(firstSteps(this.name)?.elements ?? []));
  }
}
