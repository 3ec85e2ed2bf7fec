// Keeps the shape of a topic up to date while records arrive.

import { questionOf, shapeOf } from "./shape.js";

/** The number of latest records that the shape is computed from. */
const MAX_RECORDS = 500;
/** The limit of their text. Computing the shape of more takes too long. */
const MAX_CHARACTERS = 1 << 18;
/** After this many records, the detected names and times stay, because charts that regroup themselves are confusing. */
const SETTLED_RECORDS = 100;
const INTERVAL_MS = 2000;

export class ShapeTracker {
  shape = null;
  question = null;
  /** The newest time in the values; null for the time of arrival. */
  newest = null;
  records = [];
  total = 0;
  settled = null;
  computedAt = -Infinity;
  computedTotal = 0;

  /** Adds entries of the list. Gaps and tombstones are ignored. */
  add(entries) {
    const records = entries.filter(({ kind }) => kind !== "gap" && kind !== "tombstone");
    if (records.length === 0) return;
    this.total += records.length;
    this.records.push(...records.slice(-MAX_RECORDS));
    if (this.records.length > MAX_RECORDS) this.records.splice(0, this.records.length - MAX_RECORDS);
  }

  /** Discards the detected fields, because the user has chosen another way to read the topic. */
  reset() {
    this.shape = this.question = null;
    this.computedAt = -Infinity;
    this.computedTotal = 0;
  }

  /**
   * Computes the shape again if there are new records, at most every two seconds after the first ones. `chosen` has the
   * choices in the URL. Returns whether the shape has changed.
   */
  update(chosen, now) {
    if (this.total === this.computedTotal || this.total === 0) return false;
    const isEarly = this.computedTotal < SETTLED_RECORDS && this.total >= 2 * this.computedTotal;
    if (!isEarly && now - this.computedAt < INTERVAL_MS) return false;
    this.computedAt = now;
    this.computedTotal = this.total;
    const { newest, ...next } = shapeOf(this.latest().map((entry) => entry.parse()), withFallback(chosen, this.settled));
    if (this.settled) next.found = this.settled;
    else if (this.total >= SETTLED_RECORDS) this.settled = next.found;
    next.fields = union(this.shape, next);
    const hasChanged = JSON.stringify(next) !== JSON.stringify(this.shape);
    this.newest = newest;
    this.shape = next;
    this.question = questionOf(next);
    return hasChanged;
  }

  /** Returns the newest records, the last one in any case. */
  latest() {
    let characters = 0;
    const first = this.records.findLastIndex(({ data }, i) => (characters += data.length) > MAX_CHARACTERS && i < this.records.length - 1);
    return this.records.slice(first + 1);
  }
}

/** Returns the choices in the URL, with the detected ones as defaults. */
function withFallback(chosen, found) {
  if (!found) return chosen;
  return { by: chosen.by || found.by, each: chosen.each || found.each, time: chosen.time || found.time };
}

/** Keeps the fields that were detected before, because the latest records may have others. A field of texts keeps its kind. */
function union(before, next) {
  if (!before || before.by !== next.by || before.each !== next.each || before.time !== next.time) return next.fields;
  const found = new Map(next.fields.map((field) => [field.path, field]));
  const isNumeric = ({ kind }) => kind === "number" || kind === "counter";
  const kept = before.fields.map((field) => (isNumeric(field) ? found.get(field.path) ?? field : field));
  const known = new Set(before.fields.map(({ path }) => path));
  return [...kept, ...next.fields.filter(({ path }) => !known.has(path))];
}
