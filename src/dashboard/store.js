// The newest records of a topic that a tab keeps for its list, within bounds.

import { Entry } from "./record.js";

const MAX_RECORDS = 100_000;
const MAX_CHARACTERS = 64 << 20;
const MAX_MARKS = 50;

export class Store {
  constructor() {
    this.entries = [];
    this.characters = 0;
    /** The number of dropped entries, which is the serial number of the first one kept. */
    this.dropped = 0;
    /** The times at which the log has gaps. */
    this.marks = [];
  }

  get total() {
    return this.dropped + this.entries.length;
  }

  /** The timestamp of the newest record, or null. */
  get newestTimestamp() {
    return this.entries.findLast((entry) => entry.kind !== "gap")?.summary.timestamp ?? null;
  }

  add(kind, data) {
    const entry = new Entry(kind, data, this.total);
    // The charts are read by the server, so they contain the records that the list skipped.
    if (kind === "gap" && !/"reason":"skipped"/.test(data)) this.addMark(`gap: ${entry.summary.text}`);
    this.entries.push(entry);
    this.characters += data.length;
  }

  /** Drops the oldest records over the bounds. */
  trim() {
    let drop = Math.max(0, this.entries.length - MAX_RECORDS);
    let characters = this.characters;
    for (let i = 0; i < drop; i += 1) characters -= this.entries[i].data.length;
    while (characters > MAX_CHARACTERS && drop < this.entries.length - 1) {
      characters -= this.entries[drop].data.length;
      drop += 1;
    }
    if (drop === 0) return;
    this.entries.splice(0, drop);
    this.characters = characters;
    this.dropped += drop;
  }

  /** Marks the time of the newest record, after which records are missing. */
  addMark(text) {
    this.marks.push({ at: this.newestTimestamp ?? Date.now(), text });
    if (this.marks.length > MAX_MARKS) this.marks.shift();
  }
}
