// The parameters of a request to /series, which the page calls a question, and its URL. Pure functions.

import { namesIn } from "./path.js";

/**
 * The path of a field as the page shows it: `value.motor.rpm` is `motor.rpm`, and the value itself is `value`. A text that is not
 * a path, from a link that was edited by hand, stays as it is.
 */
export function fieldLabel(path) {
  const names = namesIn(path);
  if (names === null || names.length === 0) return path;
  if (names.length === 1) return names[0];
  return path.slice(path.startsWith("value.") ? "value.".length : "value".length);
}

/**
 * Returns the path of the request for a question, relative to the base URL.
 *
 * A question is `{ from, to, step, by, each, time, where, fields, states }`. `from` and `to` are what /series accepts, or
 * null; `fields` and `states` are lists of paths. Without fields, every number is read.
 */
export function questionUrl(topic, question) {
  const query = new URLSearchParams();
  for (const name of ["from", "to", "step", "by", "each", "time", "where"]) {
    if (question[name]) query.set(name, question[name]);
  }
  for (const path of question.fields ?? []) query.append("field", path);
  for (const path of question.states ?? []) query.append("state", path);
  return `topics/${encodeURIComponent(topic)}/series?${query}`;
}

/** The lengths of steps that people read easily, in ms. */
const STEPS = [100, 200, 500, ...[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000].map((s) => 1000 * s)];

/** Returns a step with which a response that left out series for their size would contain them, or null. */
export function longerStep(step, { series, reasons }, included) {
  if (!reasons.has("large_answer") || included === 0) return null;
  return STEPS.find((longer) => longer >= 1.1 * step * (1 + series / included)) ?? null;
}

/** Whether the id is that of a window that will not change any more. In `1f-c` the `c` is a hexadecimal number. */
export const isComplete = (id) => /^[0-9a-f]+-[0-9a-f]+-c$/.test(id);
