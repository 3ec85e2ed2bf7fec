import assert from "node:assert/strict";
import { test } from "node:test";
import { orderedKeys } from "../../src/dashboard/key_search.js";

const mapOf = (...keys) => new Map(keys.map((key) => [key, true]));

test("keys are in natural order, and sorted again only if they have changed", () => {
  const first = orderedKeys(mapOf("m-10", "m-2", "a"), []);
  assert.deepEqual(first, ["a", "m-2", "m-10"]);
  assert.equal(orderedKeys(mapOf("a", "m-10", "m-2"), first), first);
  assert.deepEqual(orderedKeys(mapOf("a", "m-10", "m-3"), first), ["a", "m-3", "m-10"], "as many keys, but other ones");
  assert.deepEqual(orderedKeys(mapOf(), first), []);
});
