// One record in full, with buttons that copy its value, copy it as a curl command, or send it again.

import { button, copy, el } from "./dom.js";
import * as format from "./format.js";
import { decodedLength, notDecoded, prettyValue, textOf } from "./record.js";

/** A longer value slows the page down; the rest can be copied. */
const MAX_SHOWN_CHARACTERS = 100_000;

/** Returns the elements of the detail pane. `produceAgain(record, value)` opens the produce form with the record. */
export function detail(entry, { topic, produceAgain, close }) {
  if (entry.kind === "gap") return pane("Gap", close, el("p", {}, entry.summary.text));
  const record = entry.parse();
  const value = entry.kind === "tombstone" ? null : prettyValue(entry.data);
  const facts = el("dl", {});
  const addFact = (name, text) => facts.append(el("dt", {}, name), el("dd", {}, el("bdi", {}, text)));
  addFact("Partition", String(entry.partition));
  addFact("Offset", String(entry.offset));
  addFact("Time", format.timestamp(record.timestamp));
  addFact("Key", record.key === null ? "none" : textOf(record.key) + keyNote(record));
  for (const header of record.headers) {
    addFact(`Header ${header.name}`, header.value === null ? "null" : header.value + (header.encoding ? " (base64)" : ""));
  }
  const copyButton = button("Copy value", () => copy(value ?? "", copyButton), { class: "small" });
  const curlButton = button("Copy as curl", () => copy(format.curl(topic, record, value), curlButton), { class: "small" });
  const sendButton = button("Send again…", () => produceAgain(record, value), { class: "small" });
  return pane(
    `${topic} · ${entry.partition} · ${entry.offset}`,
    close,
    facts,
    el("div", { class: "actions" }, copyButton, curlButton, sendButton),
    valueNote(entry, record, value),
    value === null ? null : el("pre", { tabIndex: 0, role: "region", "aria-label": "Value", dir: "auto" }, value.slice(0, MAX_SHOWN_CHARACTERS)),
    value !== null && value.length > MAX_SHOWN_CHARACTERS ? el("p", { class: "note" }, `${format.count(value.length - MAX_SHOWN_CHARACTERS)} more characters: copy the value to see all`) : null,
  );
}

function keyNote({ key_encoding: encoding, key_schema_error: error }) {
  if (error) return ` (base64, ${notDecoded(error)})`;
  return encoding ? " (base64)" : "";
}

function pane(title, close, ...content) {
  return [el("header", {}, el("h3", {}, title), el("span", { class: "grow" }), button("Close", close, { class: "small" })), ...content];
}

function valueNote(entry, record, value) {
  if (value === null) return el("p", { class: "note" }, "Tombstone: compaction deletes earlier records with this key.");
  if (record.schema_error) return el("p", { class: "note" }, `The value is ${notDecoded(record.schema_error)}. The stored bytes, as base64:`);
  if (record.schema_id !== undefined) {
    return el("p", { class: "note" }, `Decoded by schema ${record.schema_id}. “Copy as curl” and “Send again” send this JSON without the schema.`);
  }
  if (record.encoding) return el("p", { class: "note" }, `${format.bytes(decodedLength(record.value))}, not UTF-8, shown as base64:`);
  if (typeof record.value === "string") return el("p", { class: "note" }, `Text, ${format.count(record.value.length)} characters:`);
  return null;
}
