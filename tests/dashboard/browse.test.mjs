import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { detailOf } from "../../src/dashboard/base.js";
import { RecordBrowser, resolveOffsets } from "../../src/dashboard/browse.js";

const realFetch = globalThis.fetch;
afterEach(() => (globalThis.fetch = realFetch));

const TOPIC = { partitions: [{ partition: 0, earliest: 0, latest: 10 }] };

/** Answers requests for the topic itself, and all others with this response. */
function answerOthers(body, status) {
  globalThis.fetch = async (url) => (/topics\/t$/.test(url) ? new Response(JSON.stringify(TOPIC)) : new Response(body, { status }));
}

test("a rejected page or time fails with the reason of the bridge, or with the status of a proxy", async () => {
  const responses = [['{"status":403,"detail":"not allowed"}', 403, "not allowed"], ["<html>Bad gateway</html>", 502, "status 502"], ["", 504, "status 504"]];
  for (const [body, status, message] of responses) {
    answerOthers(body, status);
    await assert.rejects(new RecordBrowser("t", new Map([[0, 0]])).loadLater(), { message });
    await assert.rejects(resolveOffsets("t", "2026-01-31T08:00:00Z", null), { message });
  }
});

test("the first record at or after a time is the start", async () => {
  answerOthers('\n{"topic":"t","partition":0,"offset":7}\n', 200);
  assert.deepEqual([...await resolveOffsets("t", "2026-01-31T08:00:00Z", null)], [[0, 7]]);
});

test("a text that is not a problem stays as it is", () => {
  const texts = [['{"detail":"too slow"}', "too slow"], ['{"title":"no detail"}', "other"], ["null", "other"], ["<html>", "other"], ["", "other"]];
  for (const [text, detail] of texts) assert.equal(detailOf(text, "other"), detail, text);
});

test("a page of many partitions requests the topic once, and begins at the earliest offsets", async () => {
  const requested = [];
  globalThis.fetch = async (url) => {
    const path = url.replace(/.*topics\//, "");
    requested.push(path);
    const partitions = [0, 1, 2].map((partition) => ({ partition, earliest: 5, latest: 10 }));
    return new Response(JSON.stringify(path === "t" ? { partitions } : { records: [], next_offset: 10, latest: 10 }));
  };
  const browser = new RecordBrowser("t", new Map([[0, 0], [1, 7], [2, 5]]));
  assert.equal(await browser.loadLater(), false);
  assert.deepEqual(requested, ["t", ...[[0, 5], [1, 7], [2, 5]].map(([partition, offset]) => `t/partitions/${partition}/records?offset=${offset}&limit=500`)]);
});
