// What a tab keeps of the topic that it looks at: the newest records, and each field's series by key.
// Everything has a bound.

import { Entry, numbersOf, textOf } from "./record.js";
import { Series } from "./series.js";

export const MOST_RECORDS = 100_000;
const MOST_CHARACTERS = 64 << 20;
const MOST_KEYS = 24;
const MOST_FIELDS = 24;
/** Of all series together. */
const MOST_POINTS = 600_000;
const MOST_POINTS_OF_ONE = 16_384;
const FEWEST_POINTS_OF_ONE = 512;

export class Store {
  constructor() {
    this.entries = [];
    this.characters = 0;
    /** Serial of the first entry kept; all that ever came. */
    this.dropped = 0;
    this.fields = new Map();
    this.keysLeftOut = new Set();
    this.fieldsLeftOut = new Set();
    this.marks = [];
    this.newest = -Infinity;
    this.series = 0;
    this.unread = 0;
  }

  get total() {
    return this.dropped + this.entries.length;
  }

  add(kind, data) {
    const entry = new Entry(kind, data, this.total);
    this.entries.push(entry);
    this.characters += data.length;
    if (kind === "record") this.plot(entry);
    if (kind === "gap") this.mark(`gap: ${entry.summary.text}`);
  }

  /** Drops the oldest records over the bounds, some at a time. */
  trim() {
    let drop = Math.max(0, this.entries.length - MOST_RECORDS);
    let characters = this.characters;
    for (let i = 0; i < drop; i += 1) characters -= this.entries[i].data.length;
    while (characters > MOST_CHARACTERS && drop < this.entries.length - 1) {
      characters -= this.entries[drop].data.length;
      drop += 1;
    }
    if (drop === 0) return;
    this.entries.splice(0, drop);
    this.characters = characters;
    this.dropped += drop;
  }

  /** Something is missing here: a gap of the log, or what the person skipped. */
  mark(text) {
    this.marks.push({ at: Number.isFinite(this.newest) ? this.newest : Date.now(), text });
    if (this.marks.length > 50) this.marks.shift();
    for (const keys of this.fields.values()) keys.forEach((series) => series.breakNext());
  }

  plot(entry) {
    const record = entry.parse();
    if (record.encoding) return;
    const numbers = typeof record.value === "number" || (record.value && typeof record.value === "object") ? numbersOf(record.value) : null;
    if (!numbers || numbers.size === 0) return void (this.unread += 1);
    const time = Number.isFinite(record.timestamp) ? record.timestamp : Date.now();
    this.newest = Math.max(this.newest, time);
    const key = textOf(record.key).slice(0, 100) || "(no key)";
    for (const [field, value] of numbers) this.seriesOf(field, key)?.add(time, value, this.room);
  }

  get room() {
    return Math.max(FEWEST_POINTS_OF_ONE, Math.min(MOST_POINTS_OF_ONE, Math.floor(MOST_POINTS / this.series)));
  }

  seriesOf(field, key) {
    let keys = this.fields.get(field);
    if (!keys) {
      if (this.fields.size >= MOST_FIELDS) return void (this.fieldsLeftOut.size < 1000 && this.fieldsLeftOut.add(field));
      this.fields.set(field, (keys = new Map()));
    }
    let series = keys.get(key);
    if (!series) {
      if (keys.size >= MOST_KEYS) return void (this.keysLeftOut.size < 10_000 && this.keysLeftOut.add(key));
      keys.set(key, (series = new Series()));
      this.series += 1;
    }
    return series;
  }
}
