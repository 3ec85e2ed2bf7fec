import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { seriesNotes } from "../../src/dashboard/series_notes.js";

const nothing = { series: 0, records: 0, reasons: new Map() };
const at = (hour, minute) => new Date().setHours(hour, minute, 0, 0);
const feed = (parts) => ({ state: { kind: "live", detail: "" }, from: at(8, 0), step: 1000, points: 1, completeFrom: at(8, 0), completeTo: at(9, 0), omitted: nothing, refusedPoints: 0, ...parts });

test("the notes say what a point is", () => {
  assert.deepEqual(seriesNotes(feed({})), ["Each point is 1 s: minimum, maximum and last value"]);
  assert.match(seriesNotes(feed({ step: 300_000 }))[0], /^Each point is 5 min:/);
});

test("nothing is said before the first message, except a failure", () => {
  assert.deepEqual(seriesNotes(feed({ step: null, state: { kind: "connecting", detail: "" } })), []);
  assert.deepEqual(seriesNotes(feed({ step: null, state: { kind: "failed", detail: "no such topic" } })), ["The series cannot be read: no such topic"]);
});

test("the notes say how far the series are complete", () => {
  const [, reading] = seriesNotes(feed({ state: { kind: "reading", detail: "" }, completeFrom: at(8, 40) }));
  assert.equal(reading, "Complete from 08:40:00; earlier records are being read");
  const [, stopped] = seriesNotes(feed({ completeFrom: at(8, 40) }));
  assert.equal(stopped, "Complete from 08:40:00; earlier records were not read");
  const [, ...failed] = seriesNotes(feed({ state: { kind: "failed", detail: "why" } }));
  assert.deepEqual(failed, ["Complete up to 09:00:00", "The series cannot be read: why"]);
});

test("the notes say what is left out", () => {
  const omitted = { series: 1200, records: 13, reasons: new Map([["not_json", 1], ["no_number", 12], ["unheard_of", 2]]) };
  const notes = seriesNotes(feed({ omitted, refusedPoints: 7 })).slice(1);
  assert.deepEqual(notes, ["1,200 more series are left out", "Not in the charts: 1 record without JSON, 12 records without a number, 2 records (unheard_of)", "7 points did not fit into the memory of the page"]);
});

test("every reason of the server is said in words", () => {
  const source = readFileSync(new URL("../../src/series/point.rs", import.meta.url), "utf8");
  const reasons = [...source.matchAll(/Self::\w+ => "(\w+)"/g)].map(([, reason]) => reason);
  assert.ok(reasons.length > 4);
  for (const reason of [...reasons, "large_answer"]) {
    const notes = seriesNotes(feed({ omitted: { series: 0, records: 1, reasons: new Map([[reason, 1]]) } }));
    assert.ok(!notes.join().includes(reason), reason);
  }
});
