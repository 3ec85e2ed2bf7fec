// The overview: every topic with its rate, offsets and last value.

import { endpoint, root } from "./base.js";
import { copyableCommand, el, setText } from "./dom.js";
import { readTheme } from "./draw.js";
import * as feed from "./feed.js";
import * as format from "./format.js";
import { Entry } from "./record.js";
import { drawSparkline } from "./sparkline.js";
import * as url from "./url.js";

/** Limits how many loops read last values, and how often a row is read. */
const MAX_READERS = 2;
const READ_INTERVAL_MS = 1500;

export class Overview {
  constructor() {
    this.rows = new Map();
    this.readers = 0;
    this.theme = readTheme(document.documentElement);
    this.search = el("input", { type: "search", value: url.state.search, placeholder: "Search topics", "aria-label": "Search topics", id: "search", oninput: () => this.searchChanged() });
    this.body = el("tbody");
    const head = [["Topic", ""], ["Partitions", "number"], ["Records/s", "number"], ["Last 5 minutes", "line"], ["Earliest", "number"], ["Latest", "number"], ["Last value", "last"]];
    this.table = el("table", { class: "topics" }, el("caption", { class: "offscreen" }, "Topics"),
      el("thead", {}, el("tr", {}, ...head.map(([name, kind]) => el("th", { scope: "col", class: kind }, name)))), this.body);
    this.count = el("span", { class: "muted", role: "status" });
    this.empty = el("div", { class: "empty", hidden: true });
    this.element = el("div", {}, el("div", { class: "toolbar" }, el("h1", {}, "Topics"), this.count, el("span", { class: "grow" }), this.search),
      el("div", { class: "card scroll", tabIndex: 0, role: "region", "aria-label": "Topics" }, this.table, this.empty));
    this.subscriptions = [feed.on("topics", (update) => this.update(update))];
    feed.follow(null);
    if (feed.latest.topics) this.update(feed.latest.topics);
  }

  stop() {
    this.subscriptions.forEach((unsubscribe) => unsubscribe());
  }

  searchChanged() {
    url.replace({ search: this.search.value });
    if (feed.latest.topics) this.update(feed.latest.topics);
  }

  update(update) {
    if (!update.topics) return;
    this.theme = readTheme(document.documentElement);
    const search = url.state.search.toLowerCase();
    const topics = update.topics.filter((topic) => topic.name.toLowerCase().includes(search));
    setText(this.count, search ? `${topics.length} of ${update.topics.length}` : String(topics.length));
    for (const [name, row] of this.rows) if (!topics.some((topic) => topic.name === name)) { row.element.remove(); this.rows.delete(name); }
    topics.forEach((topic, i) => {
      const row = this.rowFor(topic.name);
      if (this.body.children[i] !== row.element) this.body.insertBefore(row.element, this.body.children[i] ?? null);
      this.fill(row, topic);
    });
    this.table.hidden = topics.length === 0;
    this.updateEmpty(topics.length, update.topics.length);
    this.readLastValues(topics);
  }

  rowFor(name) {
    const existing = this.rows.get(name);
    if (existing) return existing;
    const cell = (kind) => el("td", { class: kind });
    const cells = { partitions: cell("number"), rate: cell("number"), line: cell("line"), earliest: cell("number"), latest: cell("number"), last: cell("last") };
    const canvas = el("canvas", { class: "spark", role: "img", "aria-label": `${name}: no rate yet` });
    cells.line.append(canvas);
    const text = el("bdi", { dir: "auto" });
    cells.last.append(text);
    const element = el("tr", {}, el("th", { scope: "row" }, el("a", url.link({ topic: name }), name)), ...Object.values(cells));
    const row = { element, cells, canvas, text, written: null, readAt: 0 };
    this.rows.set(name, row);
    return row;
  }

  fill(row, topic) {
    const { cells } = row;
    const pick = (name, choose) => { const all = topic.partitions.map((p) => p[name]).filter((o) => o !== null); return all.length ? choose(...all) : null; };
    setText(cells.partitions, String(topic.partitions.length));
    setText(cells.rate, format.rate(topic.rate));
    const [earliest, latest] = [pick("earliest", Math.min), pick("latest", Math.max)];
    setText(cells.earliest, earliest === null ? "no leader" : format.count(earliest));
    setText(cells.latest, latest === null ? "no leader" : format.count(latest));
    cells.rate.classList.toggle("live", topic.rate > 0);
    row.canvas.setAttribute("aria-label", `${topic.name}: ${format.rate(topic.rate)} records/s now, max ${format.rate(Math.max(0, ...topic.rates.map(([, r]) => r ?? 0)))} in the last 5 minutes`);
    drawSparkline(row.canvas, topic.rates, this.theme);
    row.topic = topic;
  }

  /** Reads the last values of visible rows whose topics have new records. */
  async readLastValues(topics) {
    if (this.readers >= MAX_READERS) return;
    this.readers += 1;
    for (const { name } of topics) {
      const row = this.rows.get(name);
      if (!row || row.written === row.topic.written || Date.now() - row.readAt < READ_INTERVAL_MS || !isVisible(row.element)) continue;
      row.readAt = Date.now();
      const before = row.written;
      row.written = row.topic.written;
      const entry = await fetchLastRecord(row, before === null).catch(() => undefined);
      if (entry) this.showLast(row, entry);
    }
    this.readers -= 1;
  }

  showLast(row, entry) {
    const { key, text } = entry.summary;
    setText(row.text, entry.kind === "tombstone" ? `${key}: tombstone` : key ? `${key}: ${text}` : text);
  }

  updateEmpty(shown, all) {
    this.empty.hidden = shown > 0;
    if (shown > 0 || this.empty.dataset.for === `${all}`) return;
    this.empty.dataset.for = `${all}`;
    if (all > 0) return this.empty.replaceChildren(el("p", {}, "No topic name matches the search."));
    this.empty.replaceChildren(el("h2", {}, "No records yet"), el("p", {}, "Send the first one, and it appears here:"),
      copyableCommand(`curl -d '{"temperature": 21.5}' '${root}topics/readings?key=boiler'`));
  }
}

function isVisible(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

/** Fetches the newest record: at first from up to four partitions, later from one that has grown. */
async function fetchLastRecord(row, isFirst) {
  const { partitions, name } = row.topic;
  const before = row.ends ?? new Map();
  row.ends = new Map(partitions.map((p) => [p.partition, p.latest ?? 0]));
  const filled = partitions.filter((p) => p.latest > p.earliest);
  const grown = filled.filter((p) => isFirst || p.latest > (before.get(p.partition) ?? 0));
  let newest = null;
  for (const p of (isFirst ? grown : grown.slice(0, 1)).slice(0, 4)) {
    const response = await fetch(endpoint(`topics/${name}/partitions/${p.partition}/records?offset=${p.latest - 1}&limit=1`));
    if (!response.ok) continue;
    const [record] = (await response.json()).records;
    if (record && (!newest || (record.timestamp ?? 0) >= (newest.timestamp ?? 0))) newest = record;
  }
  return newest && new Entry(newest.value === null ? "tombstone" : "record", JSON.stringify(newest), 0);
}
