// The browser's event stream: opens at given offsets, and resumes after a lost connection.

import { detailOf, endpoint } from "./base.js";
import { EventStream } from "../client.js";
import { locationOf } from "./record.js";

/** EventStream gives up after a permanent rejection. The cause may be fixed meanwhile, so try again at this interval. */
const RETRY_AFTER_REJECTION_MS = 5000;

export class Stream {
  /** Calls `onEvent(kind, data, location)` for each record, tombstone and gap, and `onState(state)` for each change. */
  constructor(onEvent, onState) {
    this.onEvent = onEvent;
    this.onState = onState;
    this.source = null;
    this.topics = [];
    this.next = new Map();
    this.state = { kind: "idle" };
  }

  get isOpen() {
    return this.source !== null;
  }

  /** Reads these topics from the next offset of each partition: topic → partition → offset. */
  open(topics, next) {
    this.close();
    this.topics = topics;
    this.next = next;
    this.setState({ kind: "connecting" });
    this.connect();
  }

  close() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.setState({ kind: "idle" });
  }

  /** Skips the back-off, because a tab became visible or the network is back. */
  retryNow() {
    if (this.timer === undefined) return this.source?.retryNow();
    clearTimeout(this.timer);
    this.connect();
  }

  /** Starts at the offsets. EventStream reconnects by cursor, which also detects a recreated topic. */
  connect() {
    this.timer = undefined;
    const query = new URLSearchParams(this.topics.map((topic) => ["topic", topic]));
    query.set("format", "record");
    query.set("wait", "true");
    query.set("from", fromParameter(this.next) || "earliest");
    const source = new EventStream(endpoint(`events?${query}`));
    this.source = source;
    const receive = (kind) => (event) => this.receive(kind, event);
    source.onopen = () => this.setState({ kind: "open" });
    source.onmessage = receive("record");
    source.ontombstone = receive("tombstone");
    source.ongap = receive("gap");
    source.onproblem = (event) => this.setState({ ...this.state, detail: detailOf(event.data, event.data).slice(0, 500) });
    source.onerror = (event) => this.disconnected(event);
  }

  receive(kind, event) {
    const location = kind === "gap" ? JSON.parse(event.data) : locationOf(event.data);
    if (!location) return;
    const offsets = this.next.get(location.topic);
    offsets?.set(location.partition, kind === "gap" ? location.to : location.offset + 1);
    this.onEvent(kind, event.data, location);
  }

  disconnected({ status, detail, retryIn }) {
    if (retryIn === null) this.timer = setTimeout(() => this.connect(), RETRY_AFTER_REJECTION_MS);
    const shown = status >= 400 ? detail.slice(0, 500) : this.state.detail;
    this.setState({ kind: "waiting", retryAt: Date.now() + (retryIn ?? RETRY_AFTER_REJECTION_MS), detail: shown });
  }

  setState(state) {
    this.state = state;
    this.onState(state);
  }
}

/** Returns `topic:partition:offset,…` for all partitions up to the last known one; unknown ones start at offset 0. */
export function fromParameter(next) {
  const parts = [];
  for (const [topic, offsets] of next) {
    const last = Math.max(-1, ...offsets.keys());
    for (let partition = 0; partition <= last; partition += 1) {
      parts.push(`${topic}:${partition}:${offsets.get(partition) ?? 0}`);
    }
  }
  return parts.join(",");
}
