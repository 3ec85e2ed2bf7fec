// The one event stream of this browser: opened at a place, and after a cut opened again where it was.
// EventSource reads it; the pause before coming back is ours, so that the page can count it down.

import { endpoint } from "./base.js";
import { place } from "./record.js";

const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 15_000;

export class Stream {
  /** `onEvent(kind, data, at)` for each record, tombstone and gap; `onState(state)` for each change. */
  constructor(onEvent, onState) {
    this.onEvent = onEvent;
    this.onState = onState;
    this.source = null;
    this.topics = [];
    this.next = new Map();
    this.cursor = null;
    this.failures = 0;
    this.state = { kind: "idle" };
  }

  get isOpen() {
    return this.source !== null || this.timer !== undefined;
  }

  /** Reads these topics from the next offset of each partition: topic → partition → offset. */
  open(topics, next) {
    this.close();
    this.topics = topics;
    this.next = next;
    this.cursor = null;
    this.failures = 0;
    this.connect();
  }

  close() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.tell({ kind: "idle" });
  }

  /** Comes back now rather than when the pause ends: somebody looks, or the network is back. */
  hurry() {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.connect();
  }

  connect() {
    this.timer = undefined;
    this.tell({ kind: "connecting", attempt: this.failures, said: this.state.said });
    const source = new EventSource(this.url());
    this.source = source;
    const take = (kind) => (event) => this.take(kind, event);
    source.onopen = () => {
      this.failures = 0;
      this.tell({ kind: "open" });
    };
    source.onmessage = take("record");
    source.addEventListener("tombstone", take("tombstone"));
    source.addEventListener("gap", take("gap"));
    source.addEventListener("problem", (event) => this.tell({ ...this.state, said: detailOf(event.data) }));
    source.onerror = () => this.lost(source);
  }

  /** At the cursor of the last event, which knows also what a topic made anew is; else at the offsets. */
  url() {
    const query = new URLSearchParams(this.topics.map((topic) => ["topic", topic]));
    query.set("format", "record");
    query.set("wait", "true");
    if (this.cursor) query.set("last_event_id", this.cursor);
    else query.set("from", fromOf(this.next) || "earliest");
    return endpoint(`events?${query}`);
  }

  take(kind, event) {
    this.cursor = event.lastEventId || this.cursor;
    const at = kind === "gap" ? JSON.parse(event.data) : place(event.data);
    if (!at) return;
    const places = this.next.get(at.topic);
    places?.set(at.partition, kind === "gap" ? at.to : at.offset + 1);
    this.onEvent(kind, event.data, at);
  }

  async lost(source) {
    if (source !== this.source) return;
    const refused = source.readyState === EventSource.CLOSED;
    source.close();
    this.source = null;
    const pause = Math.min(FIRST_PAUSE * 2 ** this.failures, LONGEST_PAUSE) * (0.8 + 0.4 * Math.random());
    this.failures += 1;
    this.timer = setTimeout(() => this.connect(), pause);
    this.tell({ kind: "waiting", retryAt: Date.now() + pause, said: this.state.said });
    if (refused) await this.ask(this.timer);
  }

  /** EventSource does not say why it was refused; the same request does. */
  async ask(timer) {
    const said = await fetch(this.url(), { headers: { accept: "text/event-stream" } }).then(
      async (answer) => (answer.ok ? void answer.body?.cancel() : detailOf(await answer.text())),
      () => undefined,
    );
    if (this.timer !== timer) return;
    // A cursor that is not taken any more will not be taken next time either; the offsets may.
    this.cursor = null;
    if (said) this.tell({ ...this.state, said });
  }

  tell(state) {
    this.state = state;
    this.onState(state);
  }
}

function detailOf(text) {
  try {
    const problem = JSON.parse(text);
    return String(problem.detail ?? problem.message ?? text).slice(0, 500);
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
