// The one event stream of this browser: opened at a place, and after a cut opened again where it was.

import { endpoint } from "./base.js";
import { EventStream } from "../client.js";
import { place } from "./record.js";

/** After a refusal that the same request would get again: what it asks for may have changed by then. */
const PAUSE_AFTER_REFUSAL = 5000;

export class Stream {
  /** `onEvent(kind, data, at)` for each record, tombstone and gap; `onState(state)` for each change. */
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
    this.tell({ kind: "connecting" });
    this.connect();
  }

  close() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.tell({ kind: "idle" });
  }

  /** Ends a pause: somebody looks, or the network is back. */
  hurry() {
    if (this.timer === undefined) return this.source?.retryNow();
    clearTimeout(this.timer);
    this.connect();
  }

  /** From the offsets; the stream itself comes back by cursor, which also knows a topic that was recreated. */
  connect() {
    this.timer = undefined;
    const query = new URLSearchParams(this.topics.map((topic) => ["topic", topic]));
    query.set("format", "record");
    query.set("wait", "true");
    query.set("from", fromOf(this.next) || "earliest");
    const source = new EventStream(endpoint(`events?${query}`));
    this.source = source;
    const take = (kind) => (event) => this.take(kind, event);
    source.onopen = () => this.tell({ kind: "open" });
    source.onmessage = take("record");
    source.ontombstone = take("tombstone");
    source.ongap = take("gap");
    source.onproblem = (event) => this.tell({ ...this.state, said: detailOf(event.data) });
    source.onerror = (event) => this.lost(event);
  }

  take(kind, event) {
    const at = kind === "gap" ? JSON.parse(event.data) : place(event.data);
    if (!at) return;
    const places = this.next.get(at.topic);
    places?.set(at.partition, kind === "gap" ? at.to : at.offset + 1);
    this.onEvent(kind, event.data, at);
  }

  lost({ status, detail, retryIn }) {
    if (retryIn === null) this.timer = setTimeout(() => this.connect(), PAUSE_AFTER_REFUSAL);
    const said = status >= 400 ? detail.slice(0, 500) : this.state.said;
    this.tell({ kind: "waiting", retryAt: Date.now() + (retryIn ?? PAUSE_AFTER_REFUSAL), said });
  }

  tell(state) {
    this.state = state;
    this.onState(state);
  }
}

function detailOf(text) {
  try {
    return String(JSON.parse(text).detail).slice(0, 500);
  } catch {
    return text.slice(0, 500);
  }
}

/** `topic:partition:offset,…` without holes; a partition that is not known is read from its beginning. */
export function fromOf(next) {
  const places = [];
  for (const [topic, offsets] of next) {
    const last = Math.max(-1, ...offsets.keys());
    for (let partition = 0; partition <= last; partition += 1) {
      places.push(`${topic}:${partition}:${offsets.get(partition) ?? 0}`);
    }
  }
  return places.join(",");
}
