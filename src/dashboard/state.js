// The one state of the page, from what is known of the streams, the topics and the position of this tab.

import * as format from "./format.js";

/** The age at which the last response about the topics says nothing about now. Responses come every 2 seconds. */
export const STALE_AFTER_MS = 10_000;
/** A page is live if it is behind by less than this many records, or less than this many seconds of the topic's rate. */
const LIVE_RECORDS = 100;
const LIVE_SECONDS = 2;
/** Charts are live if they are behind by less than this, besides the usual time between their updates. */
const LIVE_CHARTS_MS = 3000;

/**
 * Returns `{ kind, text, detail }`: `kind` is "good", "idle" or "bad", and `detail` explains a "bad" state.
 *
 * `stream` is the state of the event stream of the records, `topics` the last response about the topics (or null), `lag` the
 * number of records that this tab has not received (null if unknown), `rate` the topic's records per second, and `visibleSince`
 * the time from which on the topics are requested. `charts` has the `state` of the series, their `lag` in ms, `isFixed` if
 * their range does not end now, and the begin of the range, `from`, and of the part that was read, `completeFrom`; it is null on
 * a page without charts.
 */
export function pageState({ stream, topics, lag, rate, charts, paused, visibleSince, now }) {
  const retry = ({ kind, retryAt }) => (kind === "waiting" || kind === "failed" ? `, ${retryText(retryAt, now)}` : "");
  const bad = (label, detail, of = stream) => ({ kind: "bad", text: label + retry(of), detail: detail ? `${label}: ${detail}` : "" });
  const idle = (text) => ({ kind: "idle", text, detail: "" });
  const good = (text) => ({ kind: "good", text, detail: "" });
  switch (topics?.broker.kind) {
    case "signed-out":
      return { kind: "bad", text: "Signed out", detail: "" };
    case "unreachable":
      return bad("Curlew unreachable", topics.broker.detail);
    case "down":
      return bad("Kafka unreachable", topics.broker.detail);
    case "failed":
      return bad("Topics unavailable", topics.broker.detail);
  }
  if (stream.kind === "waiting") return bad("Disconnected", stream.detail);
  if (!topics || stream.kind === "connecting") return idle("Connecting…");
  const silence = now - Math.max(topics.receivedAt, visibleSince);
  if (silence > STALE_AFTER_MS) return idle(`No response for ${Math.round(silence / 1000)} s`);
  // A hidden page requests nothing, so this response is from before.
  if (topics.receivedAt < visibleSince) return idle("Connecting…");
  if (paused) return idle("Paused");
  if (stream.kind !== "open") return good("Connected");
  if (charts?.state.kind === "failed") return bad("Charts unavailable", charts.state.detail, charts.state);
  if (lag === null || charts?.state.kind === "connecting") return idle("Connecting…");
  return lagState({ lag, rate, charts }, idle, good);
}

/** Returns the state of a page whose streams are open. */
function lagState({ lag, rate, charts }, idle, good) {
  const isLive = lag <= Math.max(LIVE_RECORDS, LIVE_SECONDS * (rate ?? 0));
  const seconds = rate > 0 ? ` (${format.duration((lag / rate) * 1000)})` : "";
  const records = `${format.count(lag)} records${seconds}`;
  if (charts && charts.lag > LIVE_CHARTS_MS) {
    const late = format.duration(charts.lag);
    return idle(isLive ? `Charts behind by ${late}` : `Behind by ${records}, charts by ${late}`);
  }
  const ofCharts = charts?.state.kind === "reading" ? "Reading history" : charts?.isFixed ? "Fixed range" : "Charts live";
  if (!isLive) return idle(charts ? `${ofCharts}, list behind by ${records}` : `Behind by ${records}`);
  if (charts?.state.kind === "reading") return idle("Reading history…");
  return charts?.isFixed ? idle("Fixed range") : good("Live");
}

/** Returns what a page says in the place of charts without values, as a sentence. Takes the arguments of `pageState`. */
export function chartsText(facts) {
  const waiting = waitingText(facts);
  if (waiting !== null) return waiting;
  switch (facts.charts?.state.kind) {
    case "live":
    case "complete":
      return facts.charts.completeFrom > facts.charts.from ? "No values in the part of this range that was read." : "No values in this range.";
    case "failed":
      return "The charts cannot be read; trying again…";
    default:
      return "Loading…";
  }
}

/** Returns what a page says in the place of an empty list of records, as a sentence. Takes the arguments of `pageState`. */
export function listText(facts) {
  return waitingText(facts) ?? (facts.lag === 0 && facts.stream.kind === "open" ? "No records." : "Loading…");
}

/** Returns what the whole page waits for, or null. */
function waitingText({ stream, topics, paused, visibleSince, now }) {
  switch (topics?.broker.kind) {
    case "signed-out":
      return "Waiting for a sign-in…";
    case "unreachable":
      return "Waiting for Curlew…";
    case "down":
      return "Waiting for Kafka…";
    case "failed":
      return "Waiting for the list of topics…";
  }
  if (stream.kind === "waiting") return "Waiting for Curlew…";
  if (topics && now - Math.max(topics.receivedAt, visibleSince) > STALE_AFTER_MS) return "Waiting for Curlew…";
  return paused ? "Paused." : null;
}

function retryText(retryAt, now) {
  const seconds = Math.ceil((retryAt - now) / 1000);
  return seconds > 0 ? `reconnecting in ${seconds} s` : "reconnecting…";
}

/** Returns the number of records of a topic after the position of this tab. A partition without a position is read from its beginning. */
export function lagOf(topic, position) {
  return topic.partitions.reduce((sum, p) => sum + Math.max(0, (p.latest ?? 0) - (position.get(p.partition) ?? p.earliest ?? 0)), 0);
}
