// The legend of a chart: every key with its values in the window, drawn keys first, with a search if there are many.

import { button, el, setText } from "./dom.js";
import * as format from "./format.js";
import { orderedKeys } from "./key_search.js";
import { MAX_LINES } from "./lines.js";

/** The most rows in the document; the search finds the other keys. */
const MAX_ROWS = 100;
const COLUMNS = ["Current", "Min", "Max"];
/** What a character of a number, the space before a number, and a key need at least, in pixels. */
const CHARACTER_WIDTH = 8;
const COLUMN_SPACE = 10;
const KEY_WIDTH = 100;

export class Legend {
  /** Calls `onToggle(key)` when a key is pressed. `swatchOf(key)` returns the class with the colour of its line. */
  constructor(field, onToggle, swatchOf) {
    this.onToggle = onToggle;
    this.swatchOf = swatchOf;
    this.rows = new Map();
    /** All keys in natural order. */
    this.order = [];
    this.search = el("input", { type: "search", class: "legend-search", placeholder: "Search keys", "aria-label": `${field}: search keys`, hidden: true, oninput: () => this.shown && this.update(...this.shown) });
    this.body = el("tbody");
    this.more = el("p", { class: "note", hidden: true });
    const head = el("tr", {}, ...["Key", ...COLUMNS].map((name) => el("th", { scope: "col" }, name)));
    this.table = el("table", { class: "legend" }, el("caption", { class: "offscreen" }, `${field}: values in the window`), el("thead", {}, head), this.body);
    this.element = el("div", { class: "legend-box", tabIndex: 0, role: "group", "aria-label": `${field}: legend` }, this.search, this.table, this.more);
  }

  update(summaries, { isBand, drawn }, threshold) {
    this.shown = [summaries, { isBand, drawn }, threshold];
    this.search.hidden = summaries.size <= MAX_LINES;
    const wanted = this.search.hidden ? "" : this.search.value.toLowerCase();
    this.order = orderedKeys(summaries, this.order);
    const all = isBand ? [...drawn.keys(), ...this.order.filter((key) => !drawn.has(key))] : [...summaries.keys()];
    const keys = all.filter((key) => key.toLowerCase().includes(wanted));
    const listed = keys.slice(0, MAX_ROWS);
    for (const [key, row] of this.rows) if (!listed.includes(key)) { row.element.remove(); this.rows.delete(key); }
    listed.forEach((key, i) => {
      const row = this.rowOf(key);
      if (this.body.children[i] !== row.element) this.body.insertBefore(row.element, this.body.children[i] ?? null);
      this.fill(row, key, summaries.get(key), { isBand, drawn }, threshold);
    });
    this.updateLayout(listed);
    this.more.hidden = keys.length <= MAX_ROWS;
    setText(this.more, `${format.count(keys.length - MAX_ROWS)} more keys count, too; search to see them`);
  }

  /** Gives the numbers a line below their key if they do not fit beside it: a number that is cut would be a wrong number. */
  updateLayout(listed) {
    const longest = Math.max(0, ...listed.flatMap((key) => this.rows.get(key).cells.map((cell) => cell.textContent.length)));
    const needed = KEY_WIDTH + COLUMNS.length * (longest * CHARACTER_WIDTH + COLUMN_SPACE);
    this.table.classList.toggle("is-stacked", needed > this.element.clientWidth);
  }

  rowOf(key) {
    const existing = this.rows.get(key);
    if (existing) return existing;
    const swatch = el("span");
    const reason = el("span", { class: "reason" });
    const toggle = button("", () => this.onToggle(key), { class: "key", title: key });
    toggle.append(swatch, el("bdi", {}, key), reason);
    const cells = COLUMNS.map((name) => el("td", { "data-column": name.toLowerCase() }));
    const row = { element: el("tr", {}, el("th", { scope: "row" }, toggle), ...cells), cells, toggle, swatch, reason };
    this.rows.set(key, row);
    return row;
  }

  fill({ element, cells, toggle, swatch, reason }, key, summary, { isBand, drawn }, threshold) {
    ["current", "min", "max"].forEach((name, at) => setText(cells[at], summary ? format.short(summary[name]) : "–"));
    const isOver = (value) => summary !== null && threshold !== undefined && value > threshold;
    cells[0].classList.toggle("over", isOver(summary?.current));
    cells[2].classList.toggle("over", isOver(summary?.max));
    element.classList.toggle("in-band", isBand && !drawn.has(key));
    toggle.setAttribute("aria-pressed", String(drawn.has(key)));
    swatch.className = `swatch ${drawn.has(key) ? this.swatchOf(key) : ""}`;
    setText(reason, drawn.get(key) ?? "");
  }
}
