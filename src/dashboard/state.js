// The one state of the page, from what is known of the stream, the topics and the position of this tab.

import * as format from "./format.js";

/** The age at which the last response about the topics says nothing about now. Responses come every 2 seconds. */
const STALE_AFTER_MS = 10_000;
/** A page is live if it is behind by less than this many records, or less than this many seconds of the topic's rate. */
const LIVE_RECORDS = 100;
const LIVE_SECONDS = 2;

/**
 * Returns `{ kind, text, detail }`: `kind` is "good", "idle" or "bad", and `detail` explains a "bad" state.
 *
 * `stream` is the state of the event stream, `topics` the last response about the topics (or null), `lag` the number of
 * records that this tab has not received (null without a topic), `rate` the topic's records per second.
 */
export function pageState({ stream, topics, lag, rate, paused, now }) {
  const retry = stream.kind === "waiting" ? `, ${retryText(stream.retryAt, now)}` : "";
  switch (topics?.broker.kind) {
    case "signed-out":
      return { kind: "bad", text: "Signed out", detail: "" };
    case "unreachable":
      return { kind: "bad", text: `Curlew unreachable${retry}`, detail: topics.broker.detail };
    case "down":
      return { kind: "bad", text: `Kafka unreachable${retry}`, detail: topics.broker.detail };
    case "failed":
      return { kind: "bad", text: `Topics unavailable${retry}`, detail: topics.broker.detail };
  }
  if (stream.kind === "waiting") return { kind: "bad", text: `Disconnected${retry}`, detail: stream.detail ?? "" };
  if (!topics || stream.kind === "connecting") return { kind: "idle", text: "Connecting…", detail: "" };
  const age = now - topics.receivedAt;
  if (age > STALE_AFTER_MS) return { kind: "idle", text: `No response for ${Math.round(age / 1000)} s`, detail: "" };
  if (paused) return { kind: "idle", text: "Paused", detail: "" };
  if (stream.kind !== "open") return { kind: "good", text: "Connected", detail: "" };
  if (lag === null) return { kind: "idle", text: "Connecting…", detail: "" };
  if (lag > Math.max(LIVE_RECORDS, LIVE_SECONDS * (rate ?? 0))) {
    const seconds = rate > 0 ? ` (${format.duration((lag / rate) * 1000)})` : "";
    return { kind: "idle", text: `Behind by ${format.count(lag)} records${seconds}`, detail: "" };
  }
  return { kind: "good", text: "Live", detail: "" };
}

function retryText(retryAt, now) {
  const seconds = Math.ceil((retryAt - now) / 1000);
  return seconds > 0 ? `reconnecting in ${seconds} s` : "reconnecting…";
}

/** Returns the number of records of a topic after the position of this tab. */
export function lagOf(topic, position) {
  return topic.partitions.reduce((sum, p) => sum + Math.max(0, (p.latest ?? 0) - (position.get(p.partition) ?? 0)), 0);
}
