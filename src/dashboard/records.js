// The records of a topic: filters, list, detail of the selected record, and jumps to an offset or a time.

import { RecordBrowser, resolveOffsets } from "./browse.js";
import { detail } from "./detail.js";
import { button, el, labelled, setText, throttle } from "./dom.js";
import { FilteredList, createFilter } from "./filter.js";
import * as format from "./format.js";
import { VirtualList } from "./list.js";
import * as url from "./url.js";

export class RecordsPanel {
  /** `produceAgain(record, value)` opens the produce form with a record. */
  constructor(topic, store, produceAgain) {
    this.topic = topic;
    this.store = store;
    this.produceAgain = produceAgain;
    this.browser = null;
    this.topicTotal = 0;
    this.filtered = new FilteredList(() => this.browser?.entries ?? store.entries, () => this.refresh(0));
    this.list = new VirtualList({ rows: () => this.filtered.rows, fillRow, onSelect: (entry) => this.showDetail(entry), label: `Records of ${topic}, newest first` });
    this.pane = el("aside", { class: "detail", hidden: true, "aria-label": "Record" });
    this.count = el("span", { class: "muted", role: "status" });
    this.waiting = el("p", { class: "list-text", hidden: true });
    this.browseBar = el("div", { class: "browse", hidden: true });
    this.element = el("section", { class: "card records", "aria-labelledby": "records-title" },
      el("header", {}, el("h2", { id: "records-title" }, "Records"), this.count, el("span", { class: "grow" }), this.jumpForm()),
      this.filterInputs(), this.browseBar, headings(), el("div", { class: "split" }, this.list.element, this.waiting, this.pane));
    this.applyFilter();
    if (url.state.at) this.jumpTo(url.state.at);
  }

  stop() {
    this.list.stop();
  }

  filterInputs() {
    const apply = throttle(150, () => this.applyFilter());
    const input = (name, label, placeholder, props = {}) => labelled(label, el("input", {
      type: "search", value: url.state[name], placeholder, autocomplete: "off", spellcheck: false, ...props,
      oninput: (event) => { url.replace({ [name]: event.target.value }); apply(); },
    }));
    return el("div", { class: "filters", role: "search", "aria-label": "Filter records" },
      input("q", "Text", "in value or key", { id: "filter-text" }), input("key", "Key", "exactly"),
      input("header", "Header", "name or name:value"), input("partition", "Partition", "all", { inputMode: "numeric", class: "narrow" }));
  }

  jumpForm() {
    const where = el("input", { class: "where", placeholder: "offset or time", "aria-label": "Jump to an offset, or a time like 14:30 or 2026-01-31 08:00", value: "" });
    const form = el("form", { class: "jump", onsubmit: (event) => { event.preventDefault(); this.jumpTo(where.value.trim()); } },
      button("Earliest", () => this.jumpTo("earliest"), { class: "small" }), where, el("button", { class: "small" }, "Jump"));
    return form;
  }

  applyFilter() {
    const { q, key, header, partition } = url.state;
    this.filtered.setTest(createFilter({ q, key, header, partition }));
    this.list.element.scrollTop = 0;
  }

  /** Called after entries were added to the store, which may have dropped old ones. */
  entriesAdded(entries) {
    if (this.browser) return;
    const matching = this.filtered.add(entries);
    this.filtered.dropBefore(this.store.dropped);
    this.refresh(matching);
  }

  refresh(added) {
    this.list?.update(added);
    this.updateCount();
  }

  /** `total` is the number of offsets in the topic. */
  setTopicTotal(total) {
    this.topicTotal = total;
    this.updateCount();
  }

  /** Says why the list of live records is empty; "" if it is not. */
  setWaiting(text) {
    this.waiting.hidden = text === "" || this.browser !== null;
    setText(this.waiting, text);
    this.updateCount();
  }

  updateCount() {
    if (!this.waiting.hidden) return setText(this.count, "");
    const all = this.browser ? this.browser.entries.length : this.store.total;
    const kept = this.browser ? all : this.store.entries.length;
    const matching = this.filtered.test ? `${format.count(this.filtered.rows.length)} of ` : "";
    const loaded = this.topicTotal > all ? ` loaded, ${format.count(this.topicTotal)} offsets in the topic` : "";
    const older = kept < all ? `, newest ${format.count(kept)} kept` : "";
    setText(this.count, `${matching}${format.count(all)}${loaded}${older}`);
  }

  showDetail(entry) {
    this.pane.hidden = entry === null;
    const close = () => { this.list.select(null); this.list.element.focus(); };
    this.pane.replaceChildren(...(entry ? detail(entry, { topic: this.topic, produceAgain: this.produceAgain, close }).filter(Boolean) : []));
    this.pane.scrollTop = 0;
  }

  async jumpTo(text) {
    const start = parseStart(text);
    if (start === null) return this.showBar(`“${text}” is neither an offset nor a time like 14:30`, false);
    try {
      const partition = /^\d+$/.test(url.state.partition) ? Number(url.state.partition) : null;
      const browser = new RecordBrowser(this.topic, await resolveOffsets(this.topic, start, partition));
      const more = await browser.loadLater();
      this.browser = browser;
      url.replace({ at: text });
      this.applyFilter();
      this.list.element.scrollTop = this.list.element.scrollHeight;
      this.showBar(`From ${/^\d+$/.test(start) ? `offset ${start}` : start === "earliest" ? "the earliest" : format.timestamp(Date.parse(start))}; live records are hidden.`, more);
    } catch (error) {
      this.showBar(`Cannot jump there: ${error.message}`, false);
    }
  }

  showBar(text, more) {
    const loadButton = (method, label) => {
      const control = button(label, async () => {
        const hasMore = await this.browser[method]().catch((error) => this.showBar(error.message, false) ?? true);
        control.disabled = !hasMore;
        this.applyFilter();
      }, { class: "small" });
      return control;
    };
    const [later, earlier] = [loadButton("loadLater", "Later records"), loadButton("loadEarlier", "Earlier records")];
    later.disabled = !more;
    const buttons = this.browser ? [later, earlier] : [];
    this.browseBar.replaceChildren(el("span", {}, text), el("span", { class: "grow" }), ...buttons, button("Back to live", () => this.returnToLive(), { class: "small strong" }));
    this.browseBar.hidden = false;
  }

  returnToLive() {
    this.browser = null;
    this.browseBar.hidden = true;
    url.replace({ at: "" });
    this.applyFilter();
  }
}

function headings() {
  return el("div", { class: "row headings", "aria-hidden": "true" }, ...["Time", "Partition", "Offset", "Key", "Value"].map((name) => el("span", {}, name)));
}

function fillRow(row, entry) {
  const { key, text, timestamp } = entry.summary;
  row.className = `row ${entry.kind}`;
  if (row.childElementCount === 0) {
    row.append(...["time", "partition", "offset", "key", "value"].map((name) => el("span", { class: name, dir: name === "key" || name === "value" ? "auto" : null })));
  }
  const value = entry.kind === "tombstone" ? "tombstone" : entry.kind === "gap" ? `gap: ${text}` : text;
  const texts = [format.listTime(timestamp), String(entry.partition), entry.kind === "gap" ? "–" : String(entry.offset), key.slice(0, 100), value];
  texts.forEach((shown, i) => setText(row.children[i], shown));
}

/** Parses `earliest`, an offset or a time (today, if only hours and minutes are given); returns null for anything else. */
function parseStart(text) {
  if (text === "earliest" || /^\d+$/.test(text)) return text;
  const hour = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(text);
  const at = hour ? new Date().setHours(Number(hour[1]), Number(hour[2]), Number(hour[3] ?? 0), 0) : Date.parse(text);
  return Number.isFinite(at) ? new Date(at).toISOString() : null;
}
