// All topics at a glance: how many records there are and come, and what came last.

import { endpoint, root } from "./base.js";
import { command, el, setText } from "./dom.js";
import { themeOf } from "./draw.js";
import * as feed from "./feed.js";
import * as format from "./format.js";
import { Entry } from "./record.js";
import { spark } from "./spark.js";
import * as url from "./url.js";

/** Last values are read for so many rows at a time, and for a row no oftener than this. */
const READERS = 2;
const VALUE_MS = 1500;

export class Overview {
  constructor() {
    this.rows = new Map();
    this.reading = 0;
    this.theme = themeOf(document.documentElement);
    this.search = el("input", { type: "search", value: url.state.search, placeholder: "Search topics", "aria-label": "Search topics", id: "search", oninput: () => this.searched() });
    this.body = el("tbody");
    const head = [["Topic", ""], ["Partitions", "number"], ["Records/s", "number"], ["Last 5 minutes", "line"], ["Earliest", "number"], ["Latest", "number"], ["Last value", "last"]];
    this.table = el("table", { class: "topics" }, el("caption", { class: "offscreen" }, "Topics"),
      el("thead", {}, el("tr", {}, ...head.map(([name, kind]) => el("th", { scope: "col", class: kind }, name)))), this.body);
    this.count = el("span", { class: "muted", role: "status" });
    this.empty = el("div", { class: "empty", hidden: true });
    this.element = el("div", {}, el("div", { class: "toolbar" }, el("h1", {}, "Topics"), this.count, el("span", { class: "grow" }), this.search),
      el("div", { class: "card scroll", tabIndex: 0, role: "region", "aria-label": "Topics" }, this.table, this.empty));
    this.offs = [feed.on("topics", (news) => this.tell(news))];
    feed.follow(null);
    if (feed.latest.topics) this.tell(feed.latest.topics);
  }

  stop() {
    this.offs.forEach((off) => off());
  }

  searched() {
    url.replace({ search: this.search.value });
    if (feed.latest.topics) this.tell(feed.latest.topics);
  }

  tell(news) {
    if (!news.topics) return;
    this.theme = themeOf(document.documentElement);
    const wanted = url.state.search.toLowerCase();
    const topics = news.topics.filter((topic) => topic.name.toLowerCase().includes(wanted));
    setText(this.count, wanted ? `${topics.length} of ${news.topics.length}` : String(topics.length));
    for (const [name, row] of this.rows) if (!topics.some((topic) => topic.name === name)) { row.element.remove(); this.rows.delete(name); }
    topics.forEach((topic, i) => {
      const row = this.rowOf(topic.name);
      if (this.body.children[i] !== row.element) this.body.insertBefore(row.element, this.body.children[i] ?? null);
      this.fill(row, topic);
    });
    this.table.hidden = topics.length === 0;
    this.tellEmpty(topics.length, news.topics.length);
    this.read(topics);
  }

  rowOf(name) {
    const known = this.rows.get(name);
    if (known) return known;
    const cell = (kind) => el("td", { class: kind });
    const cells = { partitions: cell("number"), rate: cell("number"), line: cell("line"), earliest: cell("number"), latest: cell("number"), last: cell("last") };
    const canvas = el("canvas", { class: "spark", role: "img", "aria-label": `${name}: no rate yet` });
    cells.line.append(canvas);
    const text = el("bdi", { dir: "auto" });
    cells.last.append(text);
    const element = el("tr", {}, el("th", { scope: "row" }, el("a", url.follow({ topic: name }), name)), ...Object.values(cells));
    const row = { element, cells, canvas, text, written: null, readAt: 0 };
    this.rows.set(name, row);
    return row;
  }

  fill(row, topic) {
    const { cells } = row;
    const of = (name, pick) => { const all = topic.partitions.map((p) => p[name]).filter((o) => o !== null); return all.length ? pick(...all) : null; };
    setText(cells.partitions, String(topic.partitions.length));
    setText(cells.rate, format.rate(topic.rate));
    const [earliest, latest] = [of("earliest", Math.min), of("latest", Math.max)];
    setText(cells.earliest, earliest === null ? "no leader" : format.count(earliest));
    setText(cells.latest, latest === null ? "no leader" : format.count(latest));
    cells.rate.classList.toggle("live", topic.rate > 0);
    row.canvas.setAttribute("aria-label", `${topic.name}: ${format.rate(topic.rate)} records a second now, at most ${format.rate(Math.max(0, ...topic.line.map(([, r]) => r ?? 0)))} in the last minutes`);
    spark(row.canvas, topic.line, this.theme);
    row.topic = topic;
  }

  /** Reads last values of rows that are seen and have changed. */
  async read(topics) {
    if (this.reading >= READERS) return;
    this.reading += 1;
    for (const { name } of topics) {
      const row = this.rows.get(name);
      if (!row || row.written === row.topic.written || Date.now() - row.readAt < VALUE_MS || !isSeen(row.element)) continue;
      row.readAt = Date.now();
      const before = row.written;
      row.written = row.topic.written;
      const entry = await lastOf(row, before === null).catch(() => undefined);
      if (entry) this.showLast(row, entry);
    }
    this.reading -= 1;
  }

  showLast(row, entry) {
    const { key, text } = entry.summary;
    setText(row.text, entry.kind === "tombstone" ? `${key}: tombstone` : key ? `${key}: ${text}` : text);
  }

  tellEmpty(shown, all) {
    this.empty.hidden = shown > 0;
    if (shown > 0 || this.empty.dataset.for === `${all}`) return;
    this.empty.dataset.for = `${all}`;
    if (all > 0) return this.empty.replaceChildren(el("p", {}, "No topic has this in its name."));
    this.empty.replaceChildren(el("h2", {}, "No records yet"), el("p", {}, "Send the first one; it shows up here at once:"),
      command(`curl -d '{"temperature": 21.5}' '${root}topics/readings?key=boiler'`));
  }
}

function isSeen(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

/** The newest record of the partition that was written last. */
async function lastOf(row, isFirst) {
  const { partitions, name } = row.topic;
  const before = row.ends ?? new Map();
  row.ends = new Map(partitions.map((p) => [p.partition, p.latest ?? 0]));
  const filled = partitions.filter((p) => p.latest > p.earliest);
  const grown = filled.filter((p) => isFirst || p.latest > (before.get(p.partition) ?? 0));
  let newest = null;
  for (const p of (isFirst ? grown : grown.slice(0, 1)).slice(0, 4)) {
    const answer = await fetch(endpoint(`topics/${name}/partitions/${p.partition}/records?offset=${p.latest - 1}&limit=1`));
    if (!answer.ok) continue;
    const [record] = (await answer.json()).records;
    if (record && (!newest || (record.timestamp ?? 0) >= (newest.timestamp ?? 0))) newest = record;
  }
  return newest && new Entry(newest.value === null ? "tombstone" : "record", JSON.stringify(newest), 0);
}
