import assert from "node:assert/strict";
import { register } from "node:module";
import { test } from "node:test";
import { chartsText } from "../../src/dashboard/state.js";

// The bridge serves client.js one directory above the other scripts.
const resolve = `export const resolve = (name, context, next) => next(name === "../client.js" ? "./client.js" : name, context);`;
register(`data:text/javascript,${encodeURIComponent(resolve)}`);

// The modules of the page expect a browser. The worker never answers, so the test sets what is known.
globalThis.addEventListener = () => {};
globalThis.document = { visibilityState: "visible", hidden: false, addEventListener() {} };
globalThis.location = { search: "?topic=t" };
globalThis.SharedWorker = class {
  port = { postMessage() {} };
};
globalThis.window = globalThis;
const feed = await import("../../src/dashboard/feed.js");
const { pageFacts } = await import("../../src/dashboard/status.js");

test("a page without values says how far the range of its charts was read", () => {
  feed.latest.stream = { kind: "open" };
  feed.latest.topics = { receivedAt: Date.now(), broker: { kind: "up" }, topics: [{ name: "t", partitions: [], rate: 0 }] };
  feed.latest.series = { state: { kind: "live", detail: "" }, lag: 0, isFixed: false, from: 1000, completeFrom: 2000 };
  assert.equal(chartsText(pageFacts()), "No values in the part of this range that was read.");
  feed.latest.series = { ...feed.latest.series, completeFrom: 1000 };
  assert.equal(chartsText(pageFacts()), "No values in this range.");
});
