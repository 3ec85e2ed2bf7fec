import assert from "node:assert/strict";
import { test } from "node:test";
import { csvPath, fileName } from "../../src/dashboard/export.js";

const AT = 1_769_846_400_000;

test("a CSV file has the question of the charts, at absolute times and with their step", () => {
  const question = { from: "-5m", to: null, step: null, by: "value.id", each: "value.sensors", time: "value.ts", where: 'key != "x"', fields: ["value.t", "value.p"] };
  const [path, query] = csvPath("plant/1", question, { from: AT + 0.5, to: AT + 300_000.2, step: 1000 }).split("?");
  assert.equal(path, "topics/plant%2F1/series");
  assert.deepEqual([...new URLSearchParams(query)], [
    ["from", String(AT)], ["to", String(AT + 300_001)], ["step", "1000ms"], ["by", "value.id"], ["each", "value.sensors"],
    ["time", "value.ts"], ["where", 'key != "x"'], ["field", "value.t"], ["field", "value.p"], ["format", "csv"],
  ]);
});

test("the name of a file has only characters that all file systems accept", () => {
  assert.equal(fileName(["plant", "motor.rpm"], AT, ".png"), "plant_motor.rpm_2026-01-31T080000.png");
  assert.equal(fileName(["plant", "../a b/ü\0:?"], AT, ".csv"), "plant_a-b-u_2026-01-31T080000.csv");
  assert.ok(fileName(["plant", "x".repeat(500)], AT, ".csv").length < 120);
  assert.equal(fileName(["plant", "???"], AT, ".csv"), "plant_2026-01-31T080000.csv");
});
