// The latest value of each field and name of a topic, from the latest record of each key and from the series since then.

import { endpoint, problemOf } from "./base.js";

/** The most names that are kept, and the most values of all of them. */
export const MAX_NAMES = 10_000;
export const MAX_VALUES = 200_000;
const MAX_SNAPSHOT_BYTES = 32 << 20;
/** The longest time to work without a break, to keep the page responsive. */
const SLICE_MS = 8;

export class LatestValues {
  constructor() {
    /** Name → field → `{ value, time, until }`. A value is a number, or the text of a state. */
    this.names = new Map();
    this.values = 0;
    /** Whether names or values were left out. */
    this.isFull = false;
  }

  /**
   * Adds a value that was measured at `time` or later, but before or at `until`. The value with the latest `until` stays.
   * A point of a series covers its step, and its last value is at least as new as a single record in the step.
   */
  add({ by, field, value, time, until = time }) {
    const fields = this.fieldsOf(by);
    const known = fields?.get(field);
    if (!fields || (known && known.until > until)) return;
    if (!known && this.values >= MAX_VALUES) return void (this.isFull = true);
    if (!known) this.values += 1;
    fields.set(field, { value, time: Math.max(time, known?.time ?? time), until });
  }

  /**
   * Adds the last point of each series of a `SeriesFeed`. With `isCoarse`, updates come so seldom that a value from elsewhere
   * is newer if it was measured within the step.
   */
  addSeries({ fields, states }, isCoarse) {
    const addLast = (by, field, series, valueOf) => {
      const i = series.length - 1;
      if (i < 0) return;
      const time = series.start[i];
      this.add({ by, field, value: valueOf(series.last[i]), time, until: isCoarse ? time : series.end[i] });
    };
    for (const [field, keys] of fields) keys.forEach((series, by) => addLast(by, field, series, (last) => last));
    for (const [field, keys] of states) keys.forEach(({ series, names }, by) => addLast(by, field, series, (last) => names[last]));
  }

  fieldsOf(by) {
    const known = this.names.get(by);
    if (known) return known;
    if (this.names.size >= MAX_NAMES) return void (this.isFull = true);
    const fields = new Map();
    this.names.set(by, fields);
    return fields;
  }
}

/**
 * Reads the latest record of each key of a topic, and passes each line to `add`. Records without a key are not part of it.
 * Fails with the reason if not every record could be read.
 */
export async function readSnapshot(topic, { select, where }, add, signal) {
  const query = new URLSearchParams({ from: "snapshot", until: "end", select });
  if (where) query.set("where", where);
  const response = await fetch(endpoint(`topics/${encodeURIComponent(topic)}/events?${query}`), { headers: { accept: "application/x-ndjson" }, signal });
  if (!response.ok) throw Object.assign(new Error(await problemOf(response)), { status: response.status });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let [rest, characters, isComplete] = ["", 0, false];
  let pauseAt = performance.now() + SLICE_MS;
  for (let chunk; !(chunk = await reader.read()).done; ) {
    characters += chunk.value.length;
    if (characters > MAX_SNAPSHOT_BYTES) {
      await reader.cancel();
      throw new Error("the latest records have more than 32 MiB");
    }
    const lines = (rest + chunk.value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith('{"event":')) isComplete = readNotice(line) || isComplete;
      else if (line !== "") add(line);
      if (performance.now() < pauseAt) continue;
      await new Promise((resolve) => setTimeout(resolve));
      pauseAt = performance.now() + SLICE_MS;
    }
  }
  if (!isComplete) throw new Error("the response was cut off");
}

/** Returns whether the snapshot is complete; fails if the stream reports a problem. */
function readNotice(line) {
  const notice = JSON.parse(line);
  if (notice.event === "problem") throw new Error(String(notice.detail));
  return notice.event === "live";
}
