// A virtual list: only the visible rows are in the document. Row 0 is the newest, at the top.

import { el } from "./dom.js";

const ROW_HEIGHT = 30;
const OVERSCAN = 6;

export class VirtualList {
  /** `rows()` returns the entries, oldest first; `fillRow(element, entry)` renders one; `onSelect(entry)` may get null. */
  constructor({ rows, fillRow, onSelect, label }) {
    Object.assign(this, { rows, fillRow, onSelect });
    this.pool = [];
    this.selected = null;
    this.content = el("div", { class: "rows", role: "presentation" });
    this.element = el("div", { class: "list", tabIndex: 0, role: "listbox", "aria-label": label }, this.content);
    this.element.addEventListener("scroll", () => this.draw());
    this.element.addEventListener("keydown", (event) => this.keyPressed(event));
    this.content.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row?.entry) this.select(row.entry);
    });
    this.resizeObserver = new ResizeObserver(() => this.draw());
    this.resizeObserver.observe(this.element);
  }

  stop() {
    this.resizeObserver.disconnect();
  }

  /** Redraws after rows were added or removed. A list that is scrolled away from the top keeps its rows in place. */
  update(added) {
    const top = this.element.scrollTop;
    this.content.style.height = `${this.rows().length * ROW_HEIGHT}px`;
    if (top > ROW_HEIGHT / 2 && added > 0) this.element.scrollTop = top + added * ROW_HEIGHT;
    this.draw();
  }

  draw() {
    const rows = this.rows();
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW_HEIGHT) - OVERSCAN);
    const shown = Math.min(rows.length - first, Math.ceil(this.element.clientHeight / ROW_HEIGHT) + 2 * OVERSCAN);
    while (this.pool.length < shown) {
      const row = el("div", { class: "row", role: "option", id: `row-${this.pool.length}` });
      this.pool.push(row);
      this.content.append(row);
    }
    let selectedRow = "";
    this.pool.forEach((row, i) => {
      row.hidden = i >= shown;
      if (row.hidden) return void (row.entry = null);
      const at = first + i;
      const entry = rows[rows.length - 1 - at];
      row.style.transform = `translateY(${at * ROW_HEIGHT}px)`;
      row.setAttribute("aria-posinset", at + 1);
      row.setAttribute("aria-setsize", rows.length);
      row.setAttribute("aria-selected", String(entry === this.selected));
      if (entry === this.selected) selectedRow = row.id;
      if (row.entry === entry) return;
      row.entry = entry;
      this.fillRow(row, entry);
    });
    if (selectedRow) this.element.setAttribute("aria-activedescendant", selectedRow);
    else this.element.removeAttribute("aria-activedescendant");
  }

  select(entry) {
    this.selected = entry;
    this.draw();
    this.onSelect(entry);
  }

  keyPressed(event) {
    const rows = this.rows();
    if (rows.length === 0) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW_HEIGHT) - 1);
    const index = this.selected ? rows.lastIndexOf(this.selected) : -1;
    const at = index < 0 ? -1 : rows.length - 1 - index;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: rows.length - 1 }[event.key];
    if (event.key === "Escape") return this.select(null);
    if (to === undefined) return;
    event.preventDefault();
    const row = Math.max(0, Math.min(rows.length - 1, to));
    const { scrollTop, clientHeight } = this.element;
    if (row * ROW_HEIGHT < scrollTop) this.element.scrollTop = row * ROW_HEIGHT;
    else if ((row + 1) * ROW_HEIGHT > scrollTop + clientHeight) this.element.scrollTop = (row + 1) * ROW_HEIGHT - clientHeight;
    this.select(rows[rows.length - 1 - row]);
  }
}
