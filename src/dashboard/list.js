// A list of any length that holds only the rows that are seen. Row 0 is the newest and on top.

import { el } from "./dom.js";

const ROW = 30;
const MORE = 6;

export class VirtualList {
  /** `rows()` is the array, oldest first; `fill(element, entry)` writes a row; `open(entry)` shows it. */
  constructor({ rows, fill, open, label }) {
    Object.assign(this, { rows, fill, open });
    this.pool = [];
    this.newest = null;
    this.active = null;
    this.space = el("div", { class: "rows", role: "presentation" });
    this.element = el("div", { class: "list", tabIndex: 0, role: "listbox", "aria-label": label }, this.space);
    this.element.addEventListener("scroll", () => this.draw());
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.space.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row?.entry) this.choose(row.entry);
    });
    this.sized = new ResizeObserver(() => this.draw());
    this.sized.observe(this.element);
  }

  stop() {
    this.sized.disconnect();
  }

  /** After rows came or went. What somebody has scrolled to stays where it is. */
  update(added) {
    const top = this.element.scrollTop;
    this.space.style.height = `${this.rows().length * ROW}px`;
    if (top > ROW / 2 && added > 0) this.element.scrollTop = top + added * ROW;
    this.draw();
  }

  draw() {
    const rows = this.rows();
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - MORE);
    const shown = Math.min(rows.length - first, Math.ceil(this.element.clientHeight / ROW) + 2 * MORE);
    while (this.pool.length < shown) {
      const row = el("div", { class: "row", role: "option", id: `row-${this.pool.length}` });
      this.pool.push(row);
      this.space.append(row);
    }
    let activeRow = "";
    this.pool.forEach((row, i) => {
      row.hidden = i >= shown;
      if (row.hidden) return void (row.entry = null);
      const at = first + i;
      const entry = rows[rows.length - 1 - at];
      row.style.transform = `translateY(${at * ROW}px)`;
      row.setAttribute("aria-posinset", at + 1);
      row.setAttribute("aria-setsize", rows.length);
      row.setAttribute("aria-selected", String(entry === this.active));
      if (entry === this.active) activeRow = row.id;
      if (row.entry === entry) return;
      row.entry = entry;
      this.fill(row, entry);
    });
    if (activeRow) this.element.setAttribute("aria-activedescendant", activeRow);
    else this.element.removeAttribute("aria-activedescendant");
  }

  choose(entry) {
    this.active = entry;
    this.draw();
    this.open(entry);
  }

  key(event) {
    const rows = this.rows();
    if (rows.length === 0) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW) - 1);
    const known = this.active ? rows.lastIndexOf(this.active) : -1;
    const at = known < 0 ? -1 : rows.length - 1 - known;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: rows.length - 1 }[event.key];
    if (event.key === "Escape") return this.choose(null);
    if (to === undefined) return;
    event.preventDefault();
    const row = Math.max(0, Math.min(rows.length - 1, to));
    const { scrollTop, clientHeight } = this.element;
    if (row * ROW < scrollTop) this.element.scrollTop = row * ROW;
    else if ((row + 1) * ROW > scrollTop + clientHeight) this.element.scrollTop = (row + 1) * ROW - clientHeight;
    this.choose(rows[rows.length - 1 - row]);
  }
}
