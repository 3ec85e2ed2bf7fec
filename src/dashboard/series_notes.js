// What a page says below its charts: how they were measured, how far they are complete, and what is not in them.

import * as format from "./format.js";

const REASONS = {
  not_json: (n) => `${records(n)} without JSON`,
  no_number: (n) => `${records(n)} without a number`,
  no_state: (n) => `${records(n)} without a state`,
  no_time: (n) => `${records(n)} without a time`,
  long_name: (n) => `${records(n)} with a name that is too long`,
  too_many_series: (n) => `${values(n)} of series beyond the limits of the server`,
  too_many_states: (n) => `${records(n)} of fields with more than 32 states`,
  schema_error: (n) => `${records(n)} that could not be decoded by their schema`,
  large_answer: (n) => `${values(n)} of series that did not fit into a response`,
};

const records = (n) => `${format.count(n)} ${n === 1 ? "record" : "records"}`;
const values = (n) => `${format.count(n)} ${n === 1 ? "value" : "values"}`;

/** Returns the sentences about a `SeriesFeed`. */
export function seriesNotes({ state, from, step, points, completeFrom, completeTo, omitted, refusedPoints }) {
  const notes = [];
  if (step !== null) {
    if (points > 0) notes.push(`Each point is ${format.step(step)}: minimum, maximum and last value`);
    if (completeFrom > from) {
      const why = state.kind === "reading" ? "earlier records are being read" : "earlier records were not read";
      notes.push(`Complete from ${format.moment(completeFrom)}; ${why}`);
    }
    if (state.kind === "failed" || state.kind === "connecting") notes.push(`Complete up to ${format.moment(completeTo)}`);
  }
  if (state.kind === "failed") notes.push(`The series cannot be read: ${state.detail}`);
  if (omitted.series > 0) notes.push(`${format.count(omitted.series)} more series are left out`);
  const reasons = [...omitted.reasons].filter(([, n]) => n > 0).map(([reason, n]) => REASONS[reason]?.(n) ?? `${records(n)} (${reason})`);
  if (reasons.length > 0) notes.push(`Not in the charts: ${reasons.join(", ")}`);
  if (refusedPoints > 0) notes.push(`${format.count(refusedPoints)} points did not fit into the memory of the page`);
  return notes;
}
