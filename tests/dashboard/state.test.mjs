import assert from "node:assert/strict";
import { test } from "node:test";
import { chartsText, lagOf, listText, pageState } from "../../src/dashboard/state.js";

const NOW = 1_000_000;
const up = { broker: { kind: "up" }, topics: [], receivedAt: NOW - 1000 };
const failed = (kind) => ({ ...up, broker: { kind, detail: "why" } });
const open = { kind: "open" };
const idle = { kind: "idle" };
const waiting = { kind: "waiting", retryAt: NOW + 2500, detail: "the stream's reason" };

/** The state of a page that shows a topic, up to date, unless `facts` say otherwise. */
const charts = (kind, lag = 0) => ({ state: { kind, detail: "the series' reason", retryAt: NOW + 4000 }, lag });
const stateOf = (facts) => pageState({ stream: open, topics: up, lag: 0, rate: 0, charts: null, paused: false, visibleSince: 0, now: NOW, ...facts });

test("a page has one state", () => {
  const cases = [
    ["up to date", {}, "good", "Live"],
    ["without a topic", { stream: idle, lag: null }, "good", "Connected"],
    ["before the first response", { topics: null, lag: null }, "idle", "Connecting…"],
    ["while the stream opens", { stream: { kind: "connecting" } }, "idle", "Connecting…"],
    ["before the topic's end is known", { lag: null }, "idle", "Connecting…"],
    ["a few records behind", { lag: 100 }, "good", "Live"],
    ["one second behind", { lag: 10_000, rate: 10_000 }, "good", "Live"],
    ["fifteen seconds behind", { lag: 150_000, rate: 10_000 }, "idle", "Behind by 150,000 records (15 s)"],
    ["behind in a topic without new records", { lag: 5000, rate: 0 }, "idle", "Behind by 5,000 records"],
    ["behind at an unknown rate", { lag: 5000, rate: null }, "idle", "Behind by 5,000 records"],
    ["with live charts", { charts: charts("live") }, "good", "Live"],
    ["with a range of the past", { charts: { ...charts("complete"), isFixed: true } }, "idle", "Fixed range"],
    ["while the charts open", { charts: charts("connecting") }, "idle", "Connecting…"],
    ["while the charts are read", { charts: charts("reading") }, "idle", "Reading history…"],
    ["with charts a moment behind", { charts: charts("live", 3000) }, "good", "Live"],
    ["with charts far behind", { charts: charts("live", 12_000) }, "idle", "Charts behind by 12 s"],
    ["with only the list behind", { charts: charts("live"), lag: 150_000, rate: 10_000 }, "idle", "Charts live, list behind by 150,000 records (15 s)"],
    ["with a range of the past and the list behind", { charts: { ...charts("complete"), isFixed: true }, lag: 5000 }, "idle", "Fixed range, list behind by 5,000 records"],
    ["while the charts are read, with the list behind", { charts: charts("reading"), lag: 5000 }, "idle", "Reading history, list behind by 5,000 records"],
    ["with everything behind", { charts: charts("reading", 9000), lag: 150_000, rate: 10_000 }, "idle", "Behind by 150,000 records (15 s), charts by 9 s"],
    ["without charts", { charts: charts("failed") }, "bad", "Charts unavailable, reconnecting in 4 s"],
    ["without Kafka and charts", { topics: failed("down"), charts: charts("failed") }, "bad", "Kafka unreachable"],
    ["paused with failed charts", { paused: true, charts: charts("failed") }, "idle", "Paused"],
    ["paused", { paused: true, lag: 0 }, "idle", "Paused"],
    ["while Curlew does not respond", { topics: { ...up, receivedAt: NOW - 12_000 } }, "idle", "No response for 12 s"],
    ["just after the page became visible", { visibleSince: NOW - 500, topics: { ...up, receivedAt: NOW - 300_000 } }, "idle", "Connecting…"],
    ["long after the page became visible", { visibleSince: NOW - 11_000, topics: { ...up, receivedAt: NOW - 300_000 } }, "idle", "No response for 11 s"],
    ["after the stream broke", { stream: waiting }, "bad", "Disconnected, reconnecting in 3 s"],
    ["when the stream reconnects", { stream: { ...waiting, retryAt: NOW } }, "bad", "Disconnected, reconnecting…"],
    ["without Kafka", { topics: failed("down") }, "bad", "Kafka unreachable"],
    ["without Curlew", { topics: failed("unreachable"), stream: waiting }, "bad", "Curlew unreachable, reconnecting in 3 s"],
    ["when topics cannot be listed", { topics: failed("failed") }, "bad", "Topics unavailable"],
    ["after the session ended", { topics: failed("signed-out"), stream: waiting }, "bad", "Signed out"],
  ];
  for (const [name, facts, kind, text] of cases) {
    const state = stateOf(facts);
    assert.deepEqual([state.kind, state.text], [kind, text], name);
  }
});

test("a page is live only with open streams, a recent response, all records, complete charts and no pause", () => {
  const streams = [open, idle, waiting, { kind: "connecting" }];
  const responses = [null, up, { ...up, receivedAt: 0 }, ...["down", "failed", "unreachable", "signed-out"].map(failed)];
  const series = [null, ...["connecting", "reading", "live", "failed"].map((kind) => charts(kind)), { ...charts("complete"), isFixed: true }, charts("live", 60_000)];
  for (const stream of streams) for (const topics of responses) for (const lag of [null, 0, 1e6]) for (const charts of series) for (const paused of [false, true]) {
    const isLive = stateOf({ stream, topics, lag, charts, paused }).text === "Live";
    const areChartsLive = charts === null || (charts.state.kind === "live" && charts.lag === 0);
    assert.equal(isLive, stream === open && topics === up && lag === 0 && areChartsLive && !paused, JSON.stringify({ stream, topics, lag, charts, paused }));
  }
});

test("a bad state has the reason of what failed", () => {
  assert.equal(stateOf({ topics: failed("down") }).detail, "Kafka unreachable: why");
  assert.equal(stateOf({ stream: waiting }).detail, "Disconnected: the stream's reason");
  assert.equal(stateOf({ charts: charts("failed") }).detail, "Charts unavailable: the series' reason");
  assert.equal(stateOf({}).detail, "");
});

test("the lag is the number of records after the position in every partition", () => {
  const topic = { partitions: [{ partition: 0, earliest: 0, latest: 10 }, { partition: 1, earliest: 5, latest: 7 }, { partition: 2, earliest: null, latest: null }] };
  assert.equal(lagOf(topic, new Map([[0, 4], [1, 9]])), 6);
  assert.equal(lagOf(topic, new Map()), 12, "the records that retention deleted do not count");
});

test("a page without values says why in the place of the charts and the list", () => {
  const cases = [
    ["before the first response", { topics: null, lag: null }, "Loading…", "Loading…"],
    ["before the topic's end is known", { lag: null, charts: charts("connecting") }, "Loading…", "Loading…"],
    ["while history is read", { lag: 5, charts: charts("reading") }, "Loading…", "Loading…"],
    ["without values in the range", { charts: charts("live") }, "No values in this range.", "No records."],
    ["if only a part was read", { charts: { ...charts("live"), from: 1, completeFrom: 2 } }, "No values in the part of this range that was read.", "No records."],
    ["with a range of the past", { lag: 5, charts: charts("complete") }, "No values in this range.", "Loading…"],
    ["without charts", { charts: charts("failed"), lag: 5 }, "The charts cannot be read; trying again…", "Loading…"],
    ["while the stream opens", { stream: { kind: "connecting" }, charts: charts("connecting") }, "Loading…", "Loading…"],
    ["paused", { paused: true, charts: charts("connecting") }, "Paused.", "Paused."],
    ["signed out", { topics: failed("signed-out") }, "Waiting for a sign-in…", "Waiting for a sign-in…"],
    ["without Kafka", { topics: failed("down"), charts: charts("failed") }, "Waiting for Kafka…", "Waiting for Kafka…"],
    ["without Curlew", { topics: failed("unreachable") }, "Waiting for Curlew…", "Waiting for Curlew…"],
    ["without the topics", { topics: failed("failed") }, "Waiting for the list of topics…", "Waiting for the list of topics…"],
    ["disconnected", { stream: waiting }, "Waiting for Curlew…", "Waiting for Curlew…"],
    ["without a response for long", { topics: { ...up, receivedAt: NOW - 12_000 } }, "Waiting for Curlew…", "Waiting for Curlew…"],
  ];
  for (const [when, facts, inCharts, inList] of cases) {
    const all = { stream: open, topics: up, lag: 0, rate: 0, charts: null, paused: false, visibleSince: 0, now: NOW, ...facts };
    assert.deepEqual([chartsText(all), listText(all)], [inCharts, inList], when);
  }
});
