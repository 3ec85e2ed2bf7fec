// The range of time that the charts show: a window that ends now, or a fixed range. Pure functions.

import { WINDOWS } from "./query.js";

/** The shortest and the longest range to zoom to, in ms. */
const SHORTEST = 1000;
const LONGEST = 100 * 365 * 86_400_000;
const ZOOM = 3;

/** Parses a time in a URL: milliseconds since the Unix epoch, or ISO 8601; null for anything else. */
export function parseTime(text) {
  const time = /^\d{1,15}$/.test(text) ? Number(text) : Date.parse(text);
  return Number.isFinite(time) && time >= 0 ? time : null;
}

/**
 * Returns the range of a view: `{ window, from, to }`. With `window`, the range ends now, and its length is that of the window.
 * Otherwise it begins at `from` and ends at `to`, or now if `to` is null.
 */
export function rangeOf({ window, from, to }) {
  const [begin, end] = [parseTime(from), parseTime(to)];
  const isValid = begin !== null && (end === null ? to === "" : end > begin);
  return isValid ? { window: null, from: begin, to: end } : { window, from: null, to: null };
}

/** Whether the range ends now. */
export const isLive = (range) => range.to === null;

/** Returns the times at the edges of the charts. `first` is the time of the topic's first record, for the window "all". */
export function edges(range, now, first) {
  if (range.from !== null) return { from: range.from, to: Math.max(range.to ?? now, range.from + SHORTEST) };
  const length = WINDOWS.get(range.window);
  return { from: length === null ? Math.min(first ?? now, now - SHORTEST) : now - length, to: now };
}

/** Returns `from` and `to` of the request for a range. */
export function questionRange(range, first) {
  if (range.from !== null) return { from: String(range.from), to: range.to === null ? null : String(range.to) };
  return { from: WINDOWS.get(range.window) === null ? String(first) : `-${range.window}`, to: null };
}

/** Returns the part between two times as `from` and `to` of a URL, at least a second long. */
export function zoomedIn(a, b) {
  const middle = (a + b) / 2;
  const half = Math.max(Math.abs(b - a), SHORTEST) / 2;
  return { from: String(Math.max(0, Math.floor(middle - half))), to: String(Math.ceil(middle + half)) };
}

/** Returns a range around this one, three times as long, which ends now at the latest. */
export function zoomedOut({ from, to }, now) {
  const length = Math.min((to - from) * ZOOM, LONGEST);
  const end = Math.min(now, (from + to + length) / 2);
  return { from: String(Math.max(0, Math.floor(end - length))), to: String(Math.ceil(end)) };
}
