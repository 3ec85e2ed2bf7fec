// Writing a record from the page: checked as it is typed, sent exactly, with its receipt; the last ten can
// be sent again.

import { endpoint, scoped } from "./base.js";
import { announce, button, el, labelled, setText } from "./dom.js";
import { envelopeOf } from "./format.js";
import { textOf } from "./record.js";

const KEPT = 10;
const HISTORY = scoped("curlew-produced");

export class Produce {
  constructor() {
    this.topic = el("input", { required: true, pattern: "[A-Za-z0-9._\\-]{1,249}", autocomplete: "off", list: "topic-names" });
    this.key = el("input", { autocomplete: "off", placeholder: "none" });
    this.partition = el("input", { type: "number", min: 0, placeholder: "by key" });
    this.headers = el("textarea", { rows: 2, placeholder: "name: value, one a line", spellcheck: false });
    this.value = el("textarea", { rows: 8, spellcheck: false, oninput: () => this.check(), onkeydown: (event) => this.submitByKey(event) });
    this.tombstone = el("input", { type: "checkbox", onchange: () => this.check() });
    this.verdict = el("p", { class: "verdict", id: "verdict" });
    this.value.setAttribute("aria-describedby", "verdict");
    this.receipt = el("p", { class: "receipt", role: "status" });
    this.history = el("ol", { class: "history" });
    this.send = el("button", { class: "primary" }, "Send");
    this.form = el("form", { onsubmit: (event) => { event.preventDefault(); this.submit(); } },
      labelled("Topic", this.topic),
      el("div", { class: "pair" }, labelled("Key", this.key), labelled("Partition", this.partition)),
      labelled("Value", this.value), this.verdict,
      labelled("Headers", this.headers),
      el("label", { class: "check" }, this.tombstone, "Tombstone: no value, deletes the key at compaction"),
      el("div", { class: "actions" }, this.send, this.receipt));
    this.element = el("dialog", { class: "produce", "aria-labelledby": "produce-title" },
      el("header", {}, el("h2", { id: "produce-title" }, "Produce a record"), el("span", { class: "grow" }), button("Close", () => this.element.close(), { class: "small" })),
      this.form, el("h3", {}, "Sent from this tab"), this.history);
    this.showHistory();
    this.check();
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
    this.check();
    if (record.encoding) setText(this.verdict, "The record's bytes are not text: copy it as curl to send them again.");
  }

  check() {
    this.value.disabled = this.tombstone.checked;
    const { text, good } = verdictOf(this.tombstone.checked, this.value.value);
    setText(this.verdict, text);
    this.verdict.classList.toggle("bad", !good);
  }

  submitByKey(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
  }

  read() {
    const headers = this.headers.value.split("\n").filter((line) => line.trim()).map((line) => {
      const at = line.indexOf(":");
      if (at < 1) throw new Error(`“${line.trim()}” is no header; write name: value`);
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

  /** As base64 in v2's envelope: every byte of key, value and headers arrives as it was typed. */
  async submit() {
    this.send.disabled = true;
    try {
      const record = this.read();
      const body = JSON.stringify({ records: [envelopeOf(record, record.value)] });
      const type = "application/vnd.kafka.binary.v2+json";
      const answer = await fetch(endpoint(`topics/${encodeURIComponent(record.topic)}`), { method: "POST", headers: { "content-type": type }, body });
      const said = await answer.json();
      const [place] = said.offsets ?? [];
      if (!answer.ok || place?.offset === undefined || place.offset === null) throw new Error(String(place?.error ?? said.detail ?? answer.status));
      this.tell(`Written: partition ${place.partition}, offset ${place.offset}`, "good");
      this.remember({ ...record, place });
    } catch (error) {
      this.tell(`Not confirmed: ${error.message === "Failed to fetch" ? "Curlew does not answer" : error.message}`, "bad");
    } finally {
      this.send.disabled = false;
    }
  }

  tell(text, kind) {
    setText(this.receipt, text);
    this.receipt.className = `receipt ${kind}`;
    announce(text);
  }

  remember(sent) {
    const all = [sent, ...recall()].slice(0, KEPT);
    try {
      sessionStorage.setItem(HISTORY, JSON.stringify(all));
    } catch {
      // Full or forbidden: the record is written all the same.
    }
    this.showHistory();
  }

  showHistory() {
    const all = recall();
    this.history.replaceChildren(...all.map((sent) => {
      const again = button("", () => this.sendAgain(sent), { class: "again", title: "Put it into the form" });
      again.append(el("span", { class: "muted" }, `${sent.topic} · ${sent.place.partition} · ${sent.place.offset}`), el("bdi", {}, sent.value === null ? "tombstone" : sent.value.slice(0, 80)));
      return el("li", {}, again);
    }));
    if (all.length === 0) this.history.append(el("li", { class: "muted" }, "Nothing yet"));
  }

  sendAgain(sent) {
    this.topic.value = sent.topic;
    this.fill(sent, sent.value);
    this.value.focus();
  }
}

function recall() {
  try {
    return JSON.parse(sessionStorage.getItem(HISTORY)) ?? [];
  } catch {
    return [];
  }
}

function verdictOf(isTombstone, text) {
  if (isTombstone) return { good: true, text: "No value" };
  if (text === "") return { good: true, text: "An empty value" };
  try {
    JSON.parse(text);
    return { good: true, text: "✓ JSON" };
  } catch (error) {
    const looksLikeJson = /^\s*[{["]/.test(text);
    return looksLikeJson ? { good: false, text: `Not JSON: ${error.message}. It would be sent as text.` } : { good: true, text: "Text, not JSON" };
  }
}
