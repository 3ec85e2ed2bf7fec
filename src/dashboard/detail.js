// One record in full: key, headers, time, place, value; to copy, and as a curl that writes it again.

import { button, copy, el } from "./dom.js";
import * as format from "./format.js";
import { binaryLength, pretty, textOf } from "./record.js";

/** More of a value than this slows a page down; the rest can be copied. */
const SHOWN = 100_000;

/** The pane's content for an entry. `again(record)` puts it into the form; `close()` leaves. */
export function detail(entry, { topic, again, close }) {
  if (entry.kind === "gap") return pane("Gap", close, el("p", {}, entry.summary.text));
  const record = entry.parse();
  const value = entry.kind === "tombstone" ? null : pretty(entry.data);
  const facts = el("dl", {});
  const fact = (name, text) => facts.append(el("dt", {}, name), el("dd", {}, el("bdi", {}, text)));
  fact("Partition", String(entry.partition));
  fact("Offset", String(entry.offset));
  fact("Time", format.timestamp(record.timestamp));
  fact("Key", record.key === null ? "none" : textOf(record.key) + (record.key_encoding ? " (base64)" : ""));
  for (const header of record.headers) {
    fact(`Header ${header.name}`, header.value === null ? "null" : header.value + (header.encoding ? " (base64)" : ""));
  }
  const copying = button("Copy value", () => copy(value ?? "", copying), { class: "small" });
  const curling = button("Copy as curl", () => copy(format.curl(topic, record, value), curling), { class: "small" });
  const sending = button("Send again…", () => again(record, value), { class: "small" });
  return pane(
    `${topic} · ${entry.partition} · ${entry.offset}`,
    close,
    facts,
    el("div", { class: "actions" }, copying, curling, sending),
    kindOf(entry, record, value),
    value === null ? null : el("pre", { tabIndex: 0, role: "region", "aria-label": "Value", dir: "auto" }, value.slice(0, SHOWN)),
    value !== null && value.length > SHOWN ? el("p", { class: "note" }, `${format.count(value.length - SHOWN)} more characters: copy the value to see all`) : null,
  );
}

function pane(title, close, ...content) {
  return [el("header", {}, el("h3", {}, title), el("span", { class: "grow" }), button("Close", close, { class: "small" })), ...content];
}

function kindOf(entry, record, value) {
  if (value === null) return el("p", { class: "note" }, "Tombstone: compaction removes what had this key before.");
  if (record.encoding) return el("p", { class: "note" }, `${format.bytes(binaryLength(record.value))} that are not UTF-8, shown as base64:`);
  if (typeof record.value === "string") return el("p", { class: "note" }, `Text, ${format.count(record.value.length)} characters:`);
  return null;
}
