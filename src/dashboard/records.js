// The records of a topic: the list, what is filtered, the record that is open, and jumps to another place.

import { Browsing, placesOf } from "./browse.js";
import { detail } from "./detail.js";
import { button, el, labelled, setText, throttle } from "./dom.js";
import { Filtered, testOf } from "./filter.js";
import * as format from "./format.js";
import { VirtualList } from "./list.js";
import * as url from "./url.js";

export class Records {
  /** `again(record, value)` opens the form with a record. */
  constructor(topic, store, again) {
    this.topic = topic;
    this.store = store;
    this.again = again;
    this.browsing = null;
    this.filtered = new Filtered(() => this.browsing?.entries ?? store.entries, () => this.refresh(0));
    this.list = new VirtualList({ rows: () => this.filtered.rows, fill, open: (entry) => this.open(entry), label: `Records of ${topic}, newest first` });
    this.pane = el("aside", { class: "detail", hidden: true, "aria-label": "Record" });
    this.count = el("span", { class: "muted", role: "status" });
    this.bar = el("div", { class: "browse", hidden: true });
    this.element = el("section", { class: "card records", "aria-labelledby": "records-title" },
      el("header", {}, el("h2", { id: "records-title" }, "Records"), this.count, el("span", { class: "grow" }), this.jumps()),
      this.filters(), this.bar, headings(), el("div", { class: "split" }, this.list.element, this.pane));
    this.applyFilter();
    if (url.state.at) this.jump(url.state.at);
  }

  stop() {
    this.list.stop();
  }

  filters() {
    const apply = throttle(150, () => this.applyFilter());
    const input = (name, label, placeholder, props = {}) => labelled(label, el("input", {
      type: "search", value: url.state[name], placeholder, autocomplete: "off", spellcheck: false, ...props,
      oninput: (event) => { url.replace({ [name]: event.target.value }); apply(); },
    }));
    return el("div", { class: "filters", role: "search", "aria-label": "Filter records" },
      input("q", "Text", "in value or key", { id: "filter-text" }), input("key", "Key", "exactly"),
      input("header", "Header", "name or name:value"), input("partition", "Partition", "all", { inputMode: "numeric", class: "narrow" }));
  }

  jumps() {
    const where = el("input", { class: "where", placeholder: "offset or time", "aria-label": "Jump to an offset, or a time like 14:30 or 2026-01-31 08:00", value: "" });
    const form = el("form", { class: "jump", onsubmit: (event) => { event.preventDefault(); this.jump(where.value.trim()); } },
      button("Earliest", () => this.jump("earliest"), { class: "small" }), where, el("button", { class: "small" }, "Jump"));
    return form;
  }

  applyFilter() {
    const { q, key, header, partition } = url.state;
    this.filtered.set(testOf({ q, key, header, partition }));
    this.list.element.scrollTop = 0;
  }

  /** Newer entries are in the store; some of the oldest may be gone. */
  added(entries) {
    if (this.browsing) return;
    const matching = this.filtered.add(entries);
    this.filtered.drop(this.store.dropped);
    this.refresh(matching);
  }

  refresh(added) {
    this.list?.update(added);
    const rows = this.filtered.rows.length;
    const all = this.browsing ? this.browsing.entries.length : this.store.total;
    const kept = this.browsing ? all : this.store.entries.length;
    const older = kept < all ? `, the newest ${format.count(kept)} kept` : "";
    setText(this.count, this.filtered.test ? `${format.count(rows)} of ${format.count(all)}${older}` : `${format.count(all)}${older}`);
  }

  open(entry) {
    this.pane.hidden = entry === null;
    const close = () => { this.list.choose(null); this.list.element.focus(); };
    this.pane.replaceChildren(...(entry ? detail(entry, { topic: this.topic, again: this.again, close }).filter(Boolean) : []));
    this.pane.scrollTop = 0;
  }

  async jump(text) {
    const at = placeOf(text);
    if (at === null) return this.tellBar(`“${text}” is neither an offset nor a time like 14:30`, false);
    try {
      const only = /^\d+$/.test(url.state.partition) ? Number(url.state.partition) : null;
      const browsing = new Browsing(this.topic, await placesOf(this.topic, at, only));
      const more = await browsing.later();
      this.browsing = browsing;
      url.replace({ at: text });
      this.applyFilter();
      this.list.element.scrollTop = this.list.element.scrollHeight;
      this.tellBar(`From ${/^\d+$/.test(at) ? `offset ${at}` : at === "earliest" ? "the earliest" : format.timestamp(Date.parse(at))}; live records wait above.`, more);
    } catch (error) {
      this.tellBar(`Cannot go there: ${error.message}`, false);
    }
  }

  tellBar(text, more) {
    const read = (way, label) => {
      const reading = button(label, async () => {
        const again = await this.browsing[way]().catch((error) => this.tellBar(error.message, false) ?? true);
        reading.disabled = !again;
        this.applyFilter();
      }, { class: "small" });
      return reading;
    };
    const [later, earlier] = [read("later", "Later records"), read("earlier", "Earlier records")];
    later.disabled = !more;
    const buttons = this.browsing ? [later, earlier] : [];
    this.bar.replaceChildren(el("span", {}, text), el("span", { class: "grow" }), ...buttons, button("Back to live", () => this.live(), { class: "small strong" }));
    this.bar.hidden = false;
  }

  live() {
    this.browsing = null;
    this.bar.hidden = true;
    url.replace({ at: "" });
    this.applyFilter();
  }
}

function headings() {
  return el("div", { class: "row headings", "aria-hidden": "true" }, ...["Time", "Partition", "Offset", "Key", "Value"].map((name) => el("span", {}, name)));
}

/** Texts only: whatever a record holds, it is never markup. */
function fill(row, entry) {
  const { key, text, timestamp } = entry.summary;
  row.className = `row ${entry.kind}`;
  if (row.childElementCount === 0) {
    row.append(...["time", "partition", "offset", "key", "value"].map((name) => el("span", { class: name, dir: name === "key" || name === "value" ? "auto" : null })));
  }
  const value = entry.kind === "tombstone" ? "tombstone" : entry.kind === "gap" ? `gap: ${text}` : text;
  const texts = [format.moment(timestamp), String(entry.partition), entry.kind === "gap" ? "–" : String(entry.offset), key.slice(0, 100), value];
  texts.forEach((shown, i) => setText(row.children[i], shown));
}

/** `earliest`, an offset, or a time, which is today's where only the hour is given; null: none of these. */
function placeOf(text) {
  if (text === "earliest" || /^\d+$/.test(text)) return text;
  const hour = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(text);
  const at = hour ? new Date().setHours(Number(hour[1]), Number(hour[2]), Number(hour[3] ?? 0), 0) : Date.parse(text);
  return Number.isFinite(at) ? new Date(at).toISOString() : null;
}
