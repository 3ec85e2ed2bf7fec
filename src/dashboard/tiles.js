// The tiles of a topic: the latest values of each key with their age, also of keys that are silent in the window.

import { button, el, setText } from "./dom.js";
import * as format from "./format.js";
import { orderedKeys } from "./key_search.js";
import { LatestValues, readSnapshot } from "./latest.js";
import { fieldLabel } from "./question.js";
import { RecordReader } from "./record_reader.js";
import { NO_KEY } from "./series_data.js";
import { SeriesFeed } from "./series_feed.js";
import { ageText, chooseTiles, tileOf } from "./tile.js";
import * as url from "./url.js";

/** A field that is older than the newest one of its tile by more than this shows its own age. */
const FIELD_AGE_MS = 60_000;
/** The tiles that are shown at first, on a wide and on a narrow page, and how many more each press of a button adds. */
const FIRST_TILES = 24;
const FIRST_TILES_NARROW = 4;
const MORE_TILES = 96;
const MAX_TILES = 480;
const MAX_FIELDS = 5;
/** The most characters of a number that fit into a tile of the usual width. */
const MAX_SHORT_NUMBER = 15;
/** Ages tick every second. */
const UPDATE_INTERVAL_MS = 1000;
/** If a point of the charts is longer than this, the tiles have their own feed, of this window. */
const FINE_STEP_MS = 5000;
const OWN_WINDOW = "-5m";
/** After this time without a current feed, a key may have sent values that are no longer in the window. */
const INTERRUPTION_MS = 60_000;
/** With a feed that is behind by more than this, nothing is known of now. */
const FAR_BEHIND_MS = 10_000;
const RETRY_SNAPSHOT_MS = 15_000;

export class Tiles {
  /** `cards` knows the units of fields, and which are hidden. */
  constructor(topic, cards) {
    this.topic = topic;
    this.cards = cards;
    this.latest = new LatestValues();
    this.order = [];
    this.elements = new Map();
    this.ranks = new Map();
    this.only = "";
    this.most = innerWidth < 720 ? FIRST_TILES_NARROW : FIRST_TILES;
    this.pausedAt = null;
    this.reading = new AbortController();
    this.summary = el("span", { class: "muted" });
    this.search = el("input", { type: "search", placeholder: "Search keys", "aria-label": `${topic}: search the latest values`, oninput: () => this.update() });
    this.overButton = this.filterButton("over");
    this.silentButton = this.filterButton("silent");
    this.list = el("ul", { class: "tiles", role: "list" });
    this.rest = el("span", {});
    this.moreButton = button("Show more", () => this.showMore(), { class: "small" });
    this.more = el("p", { class: "note", hidden: true }, this.rest, " ", this.moreButton);
    this.note = el("p", { class: "note", role: "status", hidden: true });
    this.element = el("section", { class: "tiles-section", "aria-label": `${topic}: latest values`, hidden: true },
      el("header", {}, el("h2", {}, "Latest values"), this.summary, this.overButton, this.silentButton, el("span", { class: "grow" }), this.search),
      this.list, this.more, this.note);
    this.chartFeed = null;
    this.ownFeed = null;
    this.timer = setInterval(() => this.tick(), UPDATE_INTERVAL_MS);
  }

  stop() {
    clearInterval(this.timer);
    this.reading.abort();
    this.ownFeed?.stop();
  }

  /** Follows the feed of the charts. Called after each of its changes. */
  observe(feed) {
    if (this.pausedAt !== null) return;
    const { from, to, step, ...rest } = feed.question;
    const question = JSON.stringify(rest);
    if (this.question !== question) this.setQuestion(question, rest);
    this.chartFeed = feed;
    if (feed.step === null) return;
    const isEnough = !to && feed.step <= FINE_STEP_MS;
    if (isEnough) this.ownFeed = this.ownFeed?.stop() ?? null;
    else this.ownFeed ??= new SeriesFeed(this.topic, { ...rest, from: OWN_WINDOW, to: null, step: null }, () => this.ownFeedChanged());
    this.latest.addSeries(feed, !isEnough);
    if (this.element.hidden) this.update();
  }

  ownFeedChanged() {
    if (this.ownFeed && this.pausedAt === null) this.latest.addSeries(this.ownFeed, false);
  }

  /** The feed that has the current values. */
  get feed() {
    return this.ownFeed ?? this.chartFeed;
  }

  /** Whether the feed has what was written until now. If not, the ages are those of the time up to which it has been read. */
  get isCurrent() {
    const { feed } = this;
    if (!this.hasFeed) return Date.now() - this.currentAt < FAR_BEHIND_MS;
    return feed.state.kind !== "complete" && feed.lag < FAR_BEHIND_MS;
  }

  /** Whether the feed has had a message. Until then, what is known is what was current before, or the latest records. */
  get hasFeed() {
    return this.feed !== null && this.feed.completeTo !== null;
  }

  /** Stops the values and their ages, or resumes them. */
  pause(isPaused) {
    this.ownFeed?.pause(isPaused);
    this.pausedAt = isPaused ? this.asOf() : null;
    this.update();
  }

  /** The time for which the ages are shown, by the clock of the server. */
  asOf() {
    return this.pausedAt ?? (this.isCurrent ? (this.feed?.now() ?? Date.now()) : this.hasFeed ? this.feed.completeTo : this.currentAt);
  }

  filterButton(only) {
    return button("", () => { this.only = this.only === only ? "" : only; this.update(); }, { class: "small", "aria-pressed": "false", hidden: true });
  }

  showMore() {
    this.most = Math.min(MAX_TILES, this.most + MORE_TILES);
    this.update();
  }

  /** Discards the values, and reads those of another question. */
  setQuestion(text, question) {
    this.question = text;
    this.ownFeed = this.ownFeed?.stop() ?? null;
    this.latest = new LatestValues();
    this.ranks.clear();
    this.where = question.where;
    this.reader = new RecordReader(question);
    this.readRecords();
  }

  /** Reads the latest record of each key. */
  async readRecords() {
    this.reading.abort();
    const { signal } = (this.reading = new AbortController());
    this.currentAt = Date.now();
    const { latest, reader, where } = this;
    const add = (line) => {
      if (signal.aborted) return;
      for (const { by, field, value, time } of reader.read(line)) latest.add({ by: by ?? NO_KEY, field: fieldLabel(field), value, time });
    };
    while (!signal.aborted) {
      const failure = await readSnapshot(this.topic, { select: reader.select, where }, add, signal).then(() => null, (error) => error);
      if (signal.aborted) return;
      this.update();
      // A topic that does not exist has no keys.
      const isMissing = failure?.status === 404;
      this.setNote(!failure || isMissing ? "" : `Keys without a value in the window may be missing: ${failure.message}`);
      // A snapshot that is too large, or not allowed, stays so.
      const isFinal = !failure || (failure.status >= 400 && failure.status < 500 && failure.status !== 429);
      if (isFinal) return;
      await new Promise((resolve) => setTimeout(resolve, RETRY_SNAPSHOT_MS));
    }
  }

  setNote(text) {
    this.note.hidden = text === "";
    setText(this.note, text);
  }

  tick() {
    if (document.hidden) return;
    if (this.hasFeed && this.isCurrent && this.pausedAt === null) {
      if (Date.now() - this.currentAt > INTERRUPTION_MS) this.readRecords();
      this.currentAt = Date.now();
    }
    this.update();
  }

  update() {
    const { names } = this.latest;
    this.element.hidden = names.size === 0;
    if (names.size === 0) return;
    const now = this.asOf();
    this.order = orderedKeys(names, this.order);
    const thresholds = url.thresholds();
    // The threshold of a rate is not one of its values.
    url.rateFields().forEach((field) => thresholds.delete(field));
    const hidden = url.hiddenFields(this.cards.hiddenAtFirst);
    const tiles = this.order.map((by) => tileOf(by, names.get(by), { thresholds, hidden }, now)).filter(({ readings }) => readings.length > 0);
    this.element.hidden = tiles.length === 0;
    this.updateHeader(tiles, now);
    const { shown, rest } = chooseTiles(tiles, { search: this.search.value, only: this.only, most: this.most });
    const kept = new Set(shown.map(({ by }) => by));
    for (const [by, tile] of this.elements) if (!kept.has(by)) { tile.element.remove(); this.elements.delete(by); }
    shown.forEach((tile, i) => {
      const { element } = this.elementOf(tile.by);
      if (this.list.children[i] !== element) this.list.insertBefore(element, this.list.children[i] ?? null);
      this.fill(this.elements.get(tile.by), tile, now);
    });
    const isLong = ({ value }) => typeof value === "number" && format.short(value).length > MAX_SHORT_NUMBER;
    this.list.classList.toggle("is-roomy", shown.some(({ readings }) => readings.some(isLong)));
    this.more.hidden = rest.length === 0;
    const marked = [[rest.filter(({ isOver }) => isOver).length, "above the threshold"], [rest.filter(({ isSilent }) => isSilent).length, "silent"]];
    setText(this.rest, [`${format.count(rest.length)} more`, ...marked.filter(([n]) => n > 0).map(([n, what]) => `${format.count(n)} ${what}`)].join(", "));
    this.moreButton.hidden = this.most >= MAX_TILES;
  }

  updateHeader(tiles, now) {
    const full = this.latest.isFull ? "; more do not fit into the memory of the page" : "";
    const at = this.pausedAt === null && this.isCurrent ? "" : ` · at ${format.moment(now)}`;
    setText(this.summary, `${format.count(tiles.length)} ${tiles.length === 1 ? "key" : "keys"}${full}${at}`);
    this.search.hidden = tiles.length <= this.most && this.search.value === "";
    const over = tiles.filter(({ isOver }) => isOver).length;
    const silent = tiles.filter(({ isSilent }) => isSilent).length;
    for (const [toggle, only, count, label] of [[this.overButton, "over", over, "above the threshold"], [this.silentButton, "silent", silent, "silent"]]) {
      if (count === 0 && this.only === only) this.only = "";
      toggle.hidden = count === 0;
      toggle.setAttribute("aria-pressed", String(this.only === only));
      setText(toggle, `${format.count(count)} ${label}`);
    }
  }

  elementOf(by) {
    const existing = this.elements.get(by);
    if (existing) return existing;
    const [values, age] = [el("dl"), el("p", { class: "age" })];
    const tile = { element: el("li", { class: "tile" }, el("h3", { title: by }, el("bdi", {}, by)), values, age), values, age, rows: [] };
    this.elements.set(by, tile);
    return tile;
  }

  fill(tile, { readings, time, isOver, isSilent }, now) {
    tile.element.classList.toggle("is-over", isOver);
    tile.element.classList.toggle("is-silent", isSilent);
    // A reading above its threshold is never among those that are left out.
    const isCut = readings.length > MAX_FIELDS;
    readings.sort((a, b) => (isCut && b.isOver - a.isOver) || this.rankOf(a.field) - this.rankOf(b.field));
    const listed = readings.slice(0, MAX_FIELDS);
    while (tile.rows.length > listed.length) tile.rows.pop().element.remove();
    listed.forEach((reading, i) => {
      if (!tile.rows[i]) tile.values.append((tile.rows[i] = valueRow()).element);
      this.fillRow(tile.rows[i], reading, time, now);
    });
    const more = isCut ? ` · ${readings.length - MAX_FIELDS} more fields` : "";
    setText(tile.age, ageText(now - time, isSilent) + more);
  }

  /** All tiles list their fields in the same order. */
  rankOf(field) {
    if (!this.ranks.has(field)) this.ranks.set(field, this.ranks.size);
    return this.ranks.get(field);
  }

  fillRow({ element, label, value }, reading, newest, now) {
    const isNumber = typeof reading.value === "number";
    const unit = isNumber ? this.cards.units.get(reading.field) : undefined;
    const age = newest - reading.time > FIELD_AGE_MS ? ` (${ageText(now - reading.time, false)})` : "";
    setText(label, reading.field);
    setText(value, `${reading.isOver ? "▲ " : ""}${isNumber ? format.short(reading.value) : reading.value}${unit ? ` ${unit}` : ""}${age}`);
    element.classList.toggle("over", reading.isOver);
    element.classList.toggle("number", isNumber);
  }
}

function valueRow() {
  const [label, value] = [el("dt"), el("dd", { dir: "auto" })];
  return { element: el("div", {}, label, value), label, value };
}
