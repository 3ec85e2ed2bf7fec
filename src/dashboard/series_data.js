// What a page knows of a question to /series: the points of every series, in bounded memory, and how complete they are.

import { fieldLabel } from "./question.js";
import { Series } from "./series.js";

/** Over all series. The first message of a stream has at most about 100,000 points. */
export const MAX_POINTS = 250_000;
/** How the page names the series of records without a key. */
export const NO_KEY = "(no key)";

export class SeriesData {
  /** Field → key → Series. A field stays when its series have no points in the window any more. */
  fields = new Map();
  /** Field → key → `{ series, names }`, for states: the values of the series are indexes of `names`. */
  states = new Map();
  /** The window and the step of the last message, in ms. */
  from = null;
  to = null;
  step = null;
  /** Every record from `completeFrom` on that was written before `completeTo` has been read; null before the first message. */
  completeFrom = null;
  completeTo = null;
  /** Records written after this time are not looked for; null if the window is live. */
  lateUntil = null;
  /** What the server left out: `{ series, records, reasons: Map }`. */
  omitted = { series: 0, records: 0, reasons: new Map() };
  /** The points that did not fit into the memory of the page. */
  refusedPoints = 0;
  points = 0;
  /**
   * How much the server's clock is ahead of `performance.now()`, which no change of the local clock moves, in ms: the most that
   * was seen, because a message takes some time to arrive.
   */
  clockOffset = -Infinity;

  /** The time by the server's clock. */
  now() {
    return Number.isFinite(this.clockOffset) ? performance.now() + this.clockOffset : Date.now();
  }

  /** Applies a message of the stream: the whole window, or an update with the points that have changed. */
  apply(message, isUpdate) {
    if (!isUpdate) this.clear();
    this.from = message.from;
    this.to = message.to;
    this.step = message.step;
    this.completeFrom = message.complete_from;
    this.completeTo = message.complete_to;
    this.lateUntil = message.late_until ?? null;
    if (this.lateUntil === null) this.clockOffset = Math.max(this.clockOffset, message.complete_to - performance.now());
    const { series, records, reasons } = message.omitted;
    this.omitted = { series, records, reasons: new Map(Object.entries(reasons)) };
    this.dropBefore(message.from);
    for (const entry of message.series) this.merge(entry);
  }

  merge({ field, by, points, states: names }) {
    const keys = childOf(names ? this.states : this.fields, fieldLabel(field), () => new Map());
    const key = by ?? NO_KEY;
    const known = keys.get(key);
    const series = (names ? known?.series : known) ?? new Series();
    const before = series.length;
    const room = MAX_POINTS - this.points;
    // The newest points are the most important ones.
    const fitting = points.length <= room ? points : points.slice(points.length - room);
    this.refusedPoints += points.length - fitting.length;
    series.merge(fitting, this.step);
    this.points += series.length - before;
    if (series.length > 0) keys.set(key, names ? { series, names } : series);
  }

  clear() {
    this.dropBefore(Infinity);
    this.refusedPoints = 0;
  }

  /** Drops the points that begin before a time, and the series that have no others. */
  dropBefore(time) {
    for (const keys of [...this.fields.values(), ...this.states.values()]) {
      for (const [key, one] of keys) {
        const series = one.series ?? one;
        this.points -= series.length;
        series.dropBefore(time);
        this.points += series.length;
        if (series.length === 0) keys.delete(key);
      }
    }
  }
}

function childOf(map, key, create) {
  if (!map.has(key)) map.set(key, create());
  return map.get(key);
}
