// One row of the overview.

import { el, setText } from "./dom.js";
import * as format from "./format.js";
import { lastText, recordAge } from "./topic_rows.js";
import * as url from "./url.js";
import { SPAN_MS } from "./written.js";

/** The columns; `sort` names those by which the topics can be sorted. */
export const COLUMNS = [
  { label: "Topic", kind: "name", sort: "name" },
  { label: "Partitions", kind: "number partitions" },
  { label: "Records/s", kind: "number rate", sort: "rate" },
  { label: "Last 5 minutes", kind: "line" },
  { label: "Earliest", kind: "number earliest" },
  { label: "Latest", kind: "number latest" },
  { label: "Last record", kind: "number age", sort: "last" },
  { label: "Last value", kind: "last" },
];

export class TopicRow {
  constructor(name) {
    this.name = name;
    this.isVisible = false;
    this.rates = [];
    this.span = SPAN_MS;
    this.cells = COLUMNS.slice(1).map(({ kind }) => el("td", { class: kind }));
    this.canvas = el("canvas", { class: "spark", role: "img", "aria-label": `${name}: no rate yet` });
    this.text = el("bdi", { dir: "auto" });
    this.cells[2].append(this.canvas);
    this.cells[6].append(this.text);
    this.element = el("tr", { "data-topic": name }, el("th", { scope: "row", class: "name" }, el("a", url.link({ topic: name }), name)), ...this.cells);
  }

  /** Shows a topic. `isStale`: its last response is too old to say anything about now. */
  update(topic, now, isStale) {
    const [partitions, rate, , earliest, latest, age, last] = this.cells;
    setText(partitions, String(topic.partitions.length));
    const perSecond = isStale ? null : topic.rate;
    setText(rate, format.rate(perSecond));
    rate.classList.toggle("live", perSecond > 0);
    setText(earliest, offsetText(topic, "earliest", Math.min));
    setText(latest, offsetText(topic, "latest", Math.max));
    this.rates = topic.rates;
    this.canvas.setAttribute("aria-label", `${topic.name}: ${describeRates(topic.rates, perSecond, now)}`);
    if (topic.last === undefined) return;
    const timestamp = topic.last?.timestamp;
    setText(age, recordAge(timestamp, now));
    age.title = timestamp === undefined ? "" : format.timestamp(timestamp);
    const { text, isNote } = lastText(topic.last);
    setText(this.text, text);
    last.classList.toggle("muted", isNote);
  }
}

function offsetText(topic, name, choose) {
  const known = topic.partitions.map((p) => p[name]).filter((offset) => offset !== null);
  return known.length > 0 ? format.count(choose(...known)) : "no leader";
}

/** Describes a sparkline in words, with the time from which on the rates are known. */
function describeRates(rates, perSecond, now) {
  if (rates.length === 0) return "no rate yet";
  const max = Math.max(...rates.map(([, , rate]) => rate));
  const current = perSecond === null ? "rate unknown" : `${format.rate(perSecond)} records/s`;
  return `${current} now, max ${format.rate(max)} in the last ${format.duration(now - rates[0][0])}`;
}
