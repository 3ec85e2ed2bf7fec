// The data a tab keeps for its topic: the newest records, and a time series per field and key. All of it is bounded.

import { Entry, numericFields, textOf } from "./record.js";
import { Series } from "./series.js";

export const MAX_RECORDS = 100_000;
const MAX_CHARACTERS = 64 << 20;
const MAX_FIELDS = 24;
/** Over all series. */
const MAX_POINTS = 600_000;
const MAX_POINTS_PER_SERIES = 16_384;
const MIN_POINTS_PER_SERIES = 64;
/** One per field and key. */
export const MAX_SERIES = Math.floor(MAX_POINTS / MIN_POINTS_PER_SERIES);

export class Store {
  constructor() {
    this.entries = [];
    this.characters = 0;
    /** The number of dropped entries, which is the serial number of the first one kept. */
    this.dropped = 0;
    this.fields = new Map();
    this.omittedKeys = new Set();
    this.omittedFields = new Set();
    this.marks = [];
    this.newest = -Infinity;
    this.seriesCount = 0;
  }

  get total() {
    return this.dropped + this.entries.length;
  }

  add(kind, data) {
    const entry = new Entry(kind, data, this.total);
    this.entries.push(entry);
    this.characters += data.length;
    if (kind === "record") this.plot(entry);
    if (kind === "gap") this.addMark(`gap: ${entry.summary.text}`);
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

  /** Marks a place where records are missing: a gap in the log, or records the user skipped. */
  addMark(text) {
    this.marks.push({ at: Number.isFinite(this.newest) ? this.newest : Date.now(), text });
    if (this.marks.length > 50) this.marks.shift();
    for (const keys of this.fields.values()) keys.forEach((series) => series.breakNext());
  }

  plot(entry) {
    const record = entry.parse();
    if (record.encoding) return;
    const numbers = typeof record.value === "number" || (record.value && typeof record.value === "object") ? numericFields(record.value) : null;
    if (!numbers || numbers.size === 0) return;
    const time = Number.isFinite(record.timestamp) ? record.timestamp : Date.now();
    this.newest = Math.max(this.newest, time);
    const key = textOf(record.key).slice(0, 100) || "(no key)";
    for (const [field, value] of numbers) this.seriesFor(field, key)?.add(time, value, this.pointsPerSeries);
  }

  get pointsPerSeries() {
    return Math.max(MIN_POINTS_PER_SERIES, Math.min(MAX_POINTS_PER_SERIES, Math.floor(MAX_POINTS / this.seriesCount)));
  }

  seriesFor(field, key) {
    let keys = this.fields.get(field);
    if (!keys) {
      if (this.fields.size >= MAX_FIELDS) return void (this.omittedFields.size < 1000 && this.omittedFields.add(field));
      this.fields.set(field, (keys = new Map()));
    }
    let series = keys.get(key);
    if (!series) {
      if (this.seriesCount >= MAX_SERIES) return void (this.omittedKeys.size < 10_000 && this.omittedKeys.add(key));
      keys.set(key, (series = new Series()));
      this.seriesCount += 1;
    }
    return series;
  }
}
