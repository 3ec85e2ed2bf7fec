// The overview: every topic with its rate, offsets and newest record, sorted and grouped as the URL says.

import { button, el, setText } from "./dom.js";
import { readTheme } from "./draw.js";
import * as feed from "./feed.js";
import { firstSteps } from "./first_steps.js";
import * as format from "./format.js";
import { formatNames, parseNames } from "./query.js";
import * as session from "./session.js";
import { drawSparkline } from "./sparkline.js";
import { STALE_AFTER_MS } from "./state.js";
import { ariaSort, groupTopics, nextOrder, sortTopics, totalRate } from "./topic_rows.js";
import { COLUMNS, TopicRow } from "./topic_row.js";
import * as url from "./url.js";

export class Overview {
  constructor() {
    this.rows = new Map();
    this.groups = new Map();
    this.order = [];
    this.theme = readTheme(document.documentElement);
    this.search = el("input", { type: "search", value: url.state.search, placeholder: "Search topics", "aria-label": "Search topics", id: "search", oninput: () => this.changeView({ search: this.search.value }) });
    this.grouping = el("input", { type: "checkbox", id: "group", checked: url.state.group === "prefix", onchange: () => this.changeView({ group: this.grouping.checked ? "prefix" : "" }) });
    this.body = el("tbody");
    this.headings = new Map(COLUMNS.map((column) => [column, this.heading(column)]));
    this.table = el("table", { class: "topics" }, el("caption", { class: "offscreen" }, "Topics"), el("thead", {}, el("tr", {}, ...this.headings.values())), this.body);
    this.count = el("span", { class: "muted", role: "status" });
    this.empty = el("div", { class: "empty", hidden: true });
    this.card = el("div", { class: "card scroll", tabIndex: 0, role: "region", "aria-label": "Topics" }, this.table, this.empty);
    this.element = el("div", {}, el("div", { class: "toolbar" }, el("h1", {}, "Topics"), this.count, el("span", { class: "grow" }), el("label", { class: "check" }, this.grouping, "Group by prefix"), this.search), this.card);
    this.observer = new IntersectionObserver((entries) => this.visibilityChanged(entries));
    this.subscriptions = [feed.on("topics", (update) => this.update(update)), session.onChange(() => feed.latest.topics && this.update(feed.latest.topics))];
    feed.follow(null);
    if (feed.latest.topics) this.update(feed.latest.topics);
  }

  stop() {
    this.subscriptions.forEach((unsubscribe) => unsubscribe());
    this.observer.disconnect();
  }

  heading({ label, kind, sort }) {
    const content = sort ? button(label, () => this.changeView({ sort: nextOrder(url.state.sort, sort) }), { class: "sort" }) : label;
    return el("th", { scope: "col", class: sort ? `${kind} sortable` : kind }, content);
  }

  changeView(parts) {
    url.replace(parts);
    this.order = [];
    if (feed.latest.topics) this.update(feed.latest.topics);
  }

  update(update) {
    if (!update.topics) return;
    this.theme = readTheme(document.documentElement);
    const { search, sort } = url.state;
    const topics = update.topics.filter((topic) => topic.name.toLowerCase().includes(search.toLowerCase()));
    // Without a session, the list is empty because nothing is known.
    this.card.hidden = update.broker.kind === "signed-out";
    setText(this.count, this.card.hidden ? "" : search ? `${topics.length} of ${update.topics.length}` : String(topics.length));
    for (const [{ sort: column }, heading] of this.headings) {
      const direction = column && ariaSort(sort, column);
      if (direction) heading.setAttribute("aria-sort", direction);
      else heading.removeAttribute("aria-sort");
    }
    this.now = Date.now();
    this.isStale = update.broker.kind !== "up" || this.now - update.receivedAt > STALE_AFTER_MS;
    const sorted = this.keepOrder(sortTopics(topics, sort));
    this.place(url.state.group === "prefix" ? this.grouped(sorted) : sorted.map((topic) => this.rowFor(topic)));
    this.table.hidden = topics.length === 0;
    this.updateEmpty(topics.length, update);
  }

  /** Returns the topics in the previous order, new ones last, while the reader points at a row or has moved the focus there. */
  keepOrder(topics) {
    if (this.order.length > 0 && this.body.matches(":hover, :focus-within")) {
      const places = new Map(this.order.map((name, place) => [name, place]));
      const place = ({ name }) => places.get(name) ?? Infinity;
      topics = topics.toSorted((a, b) => place(a) - place(b) || 0);
    }
    this.order = topics.map(({ name }) => name);
    return topics;
  }

  grouped(topics) {
    const closed = parseNames(url.state.closed);
    return groupTopics(topics).flatMap(([prefix, members]) => {
      const isOpen = !closed.has(prefix || "*");
      return [this.groupFor(prefix, members, isOpen), ...(isOpen ? members.map((topic) => this.rowFor(topic)) : [])];
    });
  }

  groupFor(prefix, members, isOpen) {
    let group = this.groups.get(prefix);
    if (!group) {
      const toggle = button(prefix || "Other topics", () => this.toggle(prefix || "*"), { class: "toggle" });
      const summary = el("span", { class: "muted" });
      group = { element: el("tr", { class: "group" }, el("td", { colSpan: COLUMNS.length }, toggle, " ", summary)), toggle, summary };
      this.groups.set(prefix, group);
    }
    group.toggle.setAttribute("aria-expanded", isOpen);
    const topics = members.length === 1 ? "1 topic" : `${format.count(members.length)} topics`;
    setText(group.summary, `${topics}, ${format.rate(this.isStale ? null : totalRate(members))} records/s`);
    return group.element;
  }

  toggle(name) {
    const closed = parseNames(url.state.closed);
    if (!closed.delete(name)) closed.add(name);
    this.changeView({ closed: formatNames(closed) });
  }

  rowFor(topic) {
    let row = this.rows.get(topic.name);
    if (!row) {
      row = new TopicRow(topic.name);
      this.rows.set(topic.name, row);
      this.observer.observe(row.element);
    }
    row.update(topic, this.now, this.isStale);
    if (row.isVisible) this.draw(row);
    return row.element;
  }

  /** Puts the rows into the table, and removes all others. */
  place(elements) {
    elements.forEach((element, i) => {
      if (this.body.children[i] !== element) this.body.insertBefore(element, this.body.children[i] ?? null);
    });
    while (this.body.childElementCount > elements.length) this.body.lastElementChild.remove();
    for (const [name, row] of this.rows) {
      if (row.element.isConnected || !this.body.isConnected) continue;
      this.observer.unobserve(row.element);
      this.rows.delete(name);
    }
  }

  visibilityChanged(entries) {
    for (const { target, isIntersecting } of entries) {
      const row = this.rows.get(target.dataset.topic);
      if (!row) continue;
      row.isVisible = isIntersecting;
      if (isIntersecting) this.draw(row);
    }
  }

  draw(row) {
    drawSparkline(row.canvas, row.rates, this.now - row.span, this.now, this.theme);
  }

  updateEmpty(shown, { topics }) {
    this.empty.hidden = shown > 0;
    if (shown > 0) return;
    if (topics.length > 0) return this.showEmpty("search", [el("p", {}, "No topic name matches the search.")]);
    const steps = firstSteps(null);
    if (steps) this.showEmpty(steps.key, steps.elements);
  }

  showEmpty(key, elements) {
    if (this.empty.dataset.for === key) return;
    this.empty.dataset.for = key;
    this.empty.replaceChildren(...elements);
  }
}
