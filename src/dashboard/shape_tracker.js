// Follows the shape of a topic while its records arrive.

import { questionOf, shapeOf } from "./shape.js";

/** The latest records that tell the shape. */
const MAX_RECORDS = 500;
/** Parsing more would take too long. */
const MAX_CHARACTERS = 1 << 20;
/** After so many records, what was found stays: charts that regroup themselves would be worse than a better guess. */
const SETTLED_RECORDS = 100;
const INTERVAL_MS = 2000;

export class ShapeTracker {
  shape = null;
  question = null;
  /** The newest time in the values, if they have the time that counts. */
  newest = null;
  records = [];
  total = 0;
  settled = null;
  computedAt = -Infinity;
  computedTotal = 0;

  /** Adds entries of the list; gaps and tombstones say nothing. */
  add(entries) {
    const records = entries.filter(({ kind }) => kind !== "gap" && kind !== "tombstone");
    if (records.length === 0) return;
    this.total += records.length;
    this.records.push(...records.slice(-MAX_RECORDS));
    if (this.records.length > MAX_RECORDS) this.records.splice(0, this.records.length - MAX_RECORDS);
  }

  /** Forgets which fields were found, because the user has chosen another way to read the topic. */
  reset() {
    this.shape = this.question = null;
    this.computedAt = -Infinity;
    this.computedTotal = 0;
  }

  /**
   * Computes the shape again if there are new records, at most every two seconds after the first ones. `chosen` is what the
   * URL says. Returns whether the shape has changed.
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

/** Returns the choices of the URL, and otherwise what was found before. */
function withFallback(chosen, found) {
  if (!found) return chosen;
  return { by: chosen.by || found.by, each: chosen.each || found.each, time: chosen.time || found.time };
}

/** Fields that were found before stay, also if the latest records have other ones. A field of texts keeps its kind. */
function union(before, next) {
  if (!before || before.by !== next.by || before.each !== next.each || before.time !== next.time) return next.fields;
  const found = new Map(next.fields.map((field) => [field.path, field]));
  const isNumeric = ({ kind }) => kind === "number" || kind === "counter";
  const kept = before.fields.map((field) => (isNumeric(field) ? found.get(field.path) ?? field : field));
  const known = new Set(before.fields.map(({ path }) => path));
  return [...kept, ...next.fields.filter(({ path }) => !known.has(path))];
}
