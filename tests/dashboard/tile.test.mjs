import assert from "node:assert/strict";
import { test } from "node:test";
import { SILENT_AFTER_MS, ageText, chooseTiles, tileOf } from "../../src/dashboard/tile.js";

const NOW = 1_769_846_400_000;
const fields = (...all) => new Map(all.map(([field, value, age]) => [field, { value, time: NOW - age, until: NOW - age }]));
const none = { thresholds: new Map(), hidden: new Set() };

test("a tile has the age of its newest value, and is above the threshold if one of its numbers is", () => {
  const marks = { thresholds: new Map([["t", 50]]), hidden: new Set(["id"]) };
  const tile = tileOf("boiler", fields(["t", 50.5, 1000], ["rpm", 9000, 70_000], ["id", 7, 0]), marks, NOW);
  assert.deepEqual([tile.time, tile.isOver, tile.isSilent], [NOW - 1000, true, false]);
  assert.deepEqual(tile.readings.map(({ isOver }) => isOver), [true, false]);
  assert.ok(!tileOf("boiler", fields(["t", 50, 0]), marks, NOW).isOver, "50 is not above 50");
  assert.ok(!tileOf("boiler", fields(["t", "99", 0]), marks, NOW).isOver, "a text is no number");
});

test("a key is silent after ten minutes", () => {
  assert.ok(!tileOf("k", fields(["value", 1, SILENT_AFTER_MS - 1]), none, NOW).isSilent);
  assert.ok(tileOf("k", fields(["value", 1, SILENT_AFTER_MS]), none, NOW).isSilent);
  const texts = [[900, false, "1 s ago"], [-1500, false, "0 s ago"], [-90_000, false, "2 min ahead of this clock"], [SILENT_AFTER_MS, true, "silent for 10 min"]];
  for (const [age, isSilent, text] of texts) assert.equal(ageText(age, isSilent), text);
});

test("with more tiles than fit, those above the threshold come first, and the rest is returned", () => {
  const tiles = Array.from({ length: 200 }, (_, i) => tileOf(`m-${i}`, fields(["t", i === 150 ? 61 : 20, i === 7 ? 1e7 : 0]), { thresholds: new Map([["t", 50]]), hidden: new Set() }, NOW));
  const names = (choice) => chooseTiles(tiles, { search: "", only: "", most: 24, ...choice }).shown.map(({ by }) => by);
  assert.deepEqual(names({}).slice(0, 3), ["m-150", "m-0", "m-1"]);
  assert.equal(chooseTiles(tiles, { search: "", only: "", most: 24 }).rest.length, 176);
  assert.deepEqual(names({ most: 200 }).slice(148, 151), ["m-148", "m-149", "m-150"], "the order stays if all fit");
  assert.deepEqual(names({ search: "M-15" }).slice(0, 3), ["m-15", "m-150", "m-151"]);
  assert.deepEqual(names({ only: "over" }), ["m-150"]);
  assert.deepEqual(names({ only: "silent" }), ["m-7"]);
});
