// The dialog that produces a record: validates it while it is typed, shows where it was written, and keeps the last ten
// to send again.

import { endpoint, scoped } from "./base.js";
import { announce, button, el, labelled, setText } from "./dom.js";
import { envelopeOf } from "./format.js";
import { textOf } from "./record.js";

const MAX_HISTORY = 10;
const HISTORY_KEY = scoped("curlew-produce-history");

export class ProduceDialog {
  constructor() {
    this.topic = el("input", { required: true, pattern: "[A-Za-z0-9._\\-]{1,249}", autocomplete: "off", list: "topic-names" });
    this.key = el("input", { autocomplete: "off", placeholder: "none" });
    this.partition = el("input", { type: "number", min: 0, placeholder: "by key" });
    this.headers = el("textarea", { rows: 2, placeholder: "name: value, one per line", spellcheck: false });
    this.value = el("textarea", { rows: 8, spellcheck: false, oninput: () => this.validate(), onkeydown: (event) => this.submitByKey(event) });
    this.tombstone = el("input", { type: "checkbox", onchange: () => this.validate() });
    this.validation = el("p", { class: "validation", id: "validation" });
    this.value.setAttribute("aria-describedby", "validation");
    this.receipt = el("p", { class: "receipt", role: "status" });
    this.history = el("ol", { class: "history" });
    this.sendButton = el("button", { class: "primary" }, "Send");
    this.form = el("form", { onsubmit: (event) => { event.preventDefault(); this.submit(); } },
      labelled("Topic", this.topic),
      el("div", { class: "pair" }, labelled("Key", this.key), labelled("Partition", this.partition)),
      labelled("Value", this.value), this.validation,
      labelled("Headers", this.headers),
      el("label", { class: "check" }, this.tombstone, "Tombstone: no value; compaction deletes the key"),
      el("div", { class: "actions" }, this.sendButton, this.receipt));
    this.element = el("dialog", { class: "produce", "aria-labelledby": "produce-title" },
      el("header", {}, el("h2", { id: "produce-title" }, "Produce a record"), el("span", { class: "grow" }), button("Close", () => this.element.close(), { class: "small" })),
      this.form, el("h3", {}, "Sent from this tab"), this.history);
    this.showHistory();
    this.validate();
  }

  open(topic, record = null, value = null) {
    this.topic.value = topic || this.topic.value;
    if (record) this.fill(record, value);
    if (!this.element.open) this.element.showModal();
    (this.topic.value ? this.value : this.topic).focus();
  }

  fill(record, value) {
    this.key.value = textOf(record.key);
    this.value.value = record.encoding ? "" : (value ?? "");
    this.tombstone.checked = record.value === null;
    this.partition.value = "";
    this.headers.value = record.headers.filter((h) => h.value !== null && !h.encoding).map((h) => `${h.name}: ${h.value}`).join("\n");
    this.validate();
    if (record.encoding) setText(this.validation, "The value is binary. To send it again, copy the record as curl.");
  }

  validate() {
    this.value.disabled = this.tombstone.checked;
    const { text, isValid } = validateValue(this.tombstone.checked, this.value.value);
    setText(this.validation, text);
    this.validation.classList.toggle("bad", !isValid);
  }

  submitByKey(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
  }

  readForm() {
    const headers = this.headers.value.split("\n").filter((line) => line.trim()).map((line) => {
      const at = line.indexOf(":");
      if (at < 1) throw new Error(`“${line.trim()}” is not a header; write name: value`);
      return { name: line.slice(0, at).trim(), value: line.slice(at + 1).trim() };
    });
    return {
      topic: this.topic.value.trim(),
      key: this.key.value === "" ? null : this.key.value,
      partition: this.partition.value === "" ? null : Number(this.partition.value),
      headers,
      value: this.tombstone.checked ? null : this.value.value,
    };
  }

  /** Sends the record base64-encoded in the v2 envelope, which preserves every byte of key, value and headers. */
  async submit() {
    this.sendButton.disabled = true;
    try {
      const record = this.readForm();
      const body = JSON.stringify({ records: [envelopeOf(record, record.value)] });
      const type = "application/vnd.kafka.binary.v2+json";
      const response = await fetch(endpoint(`topics/${encodeURIComponent(record.topic)}`), { method: "POST", headers: { "content-type": type }, body });
      const result = await response.json();
      const [location] = result.offsets ?? [];
      if (!response.ok || location?.offset === undefined || location.offset === null) throw new Error(String(location?.error ?? result.detail ?? response.status));
      this.showReceipt(`Written: partition ${location.partition}, offset ${location.offset}`, "good");
      this.addToHistory({ ...record, location });
    } catch (error) {
      this.showReceipt(`Not confirmed: ${error.message === "Failed to fetch" ? "no response from Curlew" : error.message}`, "bad");
    } finally {
      this.sendButton.disabled = false;
    }
  }

  showReceipt(text, kind) {
    setText(this.receipt, text);
    this.receipt.className = `receipt ${kind}`;
    announce(text);
  }

  addToHistory(sent) {
    const all = [sent, ...loadHistory()].slice(0, MAX_HISTORY);
    try {
      sessionStorage.setItem(HISTORY_KEY, JSON.stringify(all));
    } catch {
      // The storage is full or disabled. The record has been written, so only the history is lost.
    }
    this.showHistory();
  }

  showHistory() {
    const all = loadHistory();
    this.history.replaceChildren(...all.map((sent) => {
      const entry = button("", () => this.reuse(sent), { class: "again", title: "Copy to the form" });
      entry.append(el("span", { class: "muted" }, `${sent.topic} · ${sent.location.partition} · ${sent.location.offset}`), el("bdi", {}, sent.value === null ? "tombstone" : sent.value.slice(0, 80)));
      return el("li", {}, entry);
    }));
    if (all.length === 0) this.history.append(el("li", { class: "muted" }, "None yet"));
  }

  reuse(sent) {
    this.topic.value = sent.topic;
    this.fill(sent, sent.value);
    this.value.focus();
  }
}

function loadHistory() {
  try {
    return JSON.parse(sessionStorage.getItem(HISTORY_KEY)) ?? [];
  } catch {
    return [];
  }
}

function validateValue(isTombstone, text) {
  if (isTombstone) return { isValid: true, text: "No value" };
  if (text === "") return { isValid: true, text: "Empty value" };
  try {
    JSON.parse(text);
    return { isValid: true, text: "✓ JSON" };
  } catch (error) {
    const looksLikeJson = /^\s*[{["]/.test(text);
    return looksLikeJson ? { isValid: false, text: `Not JSON: ${error.message}. It would be sent as text.` } : { isValid: true, text: "Text, not JSON" };
  }
}
