import assert from "node:assert/strict";
import { test } from "node:test";
import { Series } from "../../src/dashboard/series.js";
import { spanAt, spansOf, stateLooks, statesNow } from "../../src/dashboard/spans.js";

/** Returns the spans of `[second, state]` or `[second, min, max, last]`, in seconds, with `*` after a state that changed. */
function spans(points, from, to) {
  const series = new Series();
  series.merge(points.map(([second, ...states]) => [second * 1000, states[0], states.at(-2) ?? states[0], states.at(-1), 1]), 1000);
  return spansOf(series, from * 1000, to * 1000).map((span) => [span.from / 1000, span.to / 1000, `${span.state}${span.hasChanged ? "*" : ""}`]);
}

for (const [name, points, window, expected] of [
  ["equal states are one span", [[0, 1], [1, 1], [2, 1]], [0, 10], [[0, 3, "1"]]],
  ["a state lasts up to the next point", [[0, 0], [2, 1], [3, 1]], [0, 10], [[0, 2, "0"], [2, 4, "1"]]],
  ["a step in which the state changed is marked", [[0, 0], [1, 0, 1, 1], [2, 1]], [0, 10], [[0, 1, "0"], [1, 2, "1*"], [2, 3, "1"]]],
  ["a step that ends as it began is marked, too", [[0, 0], [1, 0, 1, 0], [3, 0]], [0, 10], [[0, 1, "0"], [1, 2, "0*"], [2, 4, "0"]]],
  ["no span crosses a gap", [[0, 1], [1, 1], [2, 1], [60, 1], [61, 1]], [0, 100], [[0, 3, "1"], [60, 62, "1"]]],
  ["a span begins at the start of the window", [[0, 1], [2, 0], [4, 0]], [1, 4], [[1, 2, "1"], [2, 4, "0"]]],
  ["points after the window are not drawn", [[0, 1], [1, 0], [2, 1]], [0, 1.5], [[0, 1, "1"], [1, 1.5, "0"]]],
  ["without points there is no span", [], [0, 10], []],
]) {
  test(name, () => assert.deepEqual(spans(points, ...window), expected));
}

test("between spans there is no state", () => {
  const some = [{ from: 0, to: 10, state: 0 }, { from: 20, to: 30, state: 1 }];
  assert.deepEqual([5, 10, 25].map((time) => spanAt(some, time)?.state ?? null), [0, null, 1]);
});

test("faults and states of rest look different, and states have different colours as long as there are enough", () => {
  const looks = stateLooks(["Error 12", "idle", "running", "starting", "false", "x"], 4);
  assert.deepEqual([...looks.values()].map(({ weight, colour }) => `${weight} ${colour}`), ["fault 0", "rest 3", "usual 0", "usual 1", "rest 2", "usual 2"]);
});

test("the latest state of each key is the one before the end of the window, with the end of its step", () => {
  const series = new Series();
  series.merge([[0, 0, 0, 0, 1], [1000, 0, 1, 1, 2], [5000, 0, 0, 0, 1]], 1000);
  const keys = new Map([["a", { series, names: ["off", "on"] }], ["silent", { series: new Series(), names: [] }]]);
  assert.deepEqual([...statesNow(keys, 3000)], [["a", { name: "on", end: 2000 }]]);
  assert.deepEqual(statesNow(keys, 9000).get("a"), { name: "off", end: 6000 });
});
