// The hub that all tabs of a browser share: one event stream for all the topics they follow.
//
// Each tab has a position, the next offset of each partition. The stream opens at the earliest of these positions, and
// each tab receives the records from its position on. Tabs can open, sleep, fall behind or change their topic without
// missing a record or receiving one twice.

import { Stream } from "./stream.js";
import { TopicPoller } from "./topic_poller.js";

/** Bounds of the queue of a tab. A tab with a full queue leaves the stream until it has caught up. */
const MAX_QUEUED_RECORDS = 20_000;
const MAX_QUEUED_CHARACTERS = 16 << 20;
/** Bounds of one message to a tab, and of unacknowledged messages. */
const MAX_BATCH_RECORDS = 2000;
const MAX_BATCH_CHARACTERS = 1 << 20;
const MAX_IN_FLIGHT = 2;
const FLUSH_MS = 40;

export class Hub {
  constructor() {
    this.tabs = new Map();
    this.stream = new Stream((kind, data, position) => this.deliver(kind, data, position), () => this.broadcastState());
    this.poller = new TopicPoller((update) => this.broadcast({ type: "topics", ...update }));
    this.flushing = 0;
  }

  /** Handles a message from a tab. `send(message)` replies to it. */
  receive(id, send, message) {
    let tab = this.tabs.get(id);
    if (!tab && message.type !== "subscribe") return send({ type: "resync" });
    if (!tab) this.tabs.set(id, (tab = { id, send, visible: true, topic: null, next: new Map(), queue: [], characters: 0, inFlight: 0, full: false, epoch: 0 }));
    switch (message.type) {
      case "subscribe":
        Object.assign(tab, { send, visible: message.visible, topic: message.topic, next: new Map(message.next), epoch: message.epoch, queue: [], characters: 0, inFlight: 0, full: false });
        this.poller.sendLast(send);
        break;
      case "ack":
        if (message.epoch === tab.epoch) tab.inFlight -= 1;
        this.flush(tab);
        break;
      case "visibility":
        tab.visible = message.visible;
        if (message.visible) this.stream.retryNow();
        break;
      case "signed-out":
        // The stream was opened with the ended session and would continue.
        this.stream.close();
      // falls through
      case "signed-in":
        this.poller.pollNow();
        this.stream.retryNow();
        break;
      case "close":
        this.tabs.delete(id);
        break;
    }
    this.updateStream();
    if (message.type === "subscribe" || message.type === "visibility") this.broadcastState();
  }

  get activeTabs() {
    return [...this.tabs.values()].filter((tab) => tab.visible && tab.topic && !tab.full);
  }

  /** Opens, reopens or closes the stream to match the tabs. */
  updateStream() {
    const visible = [...this.tabs.values()].filter((tab) => tab.visible);
    this.poller.setActive(visible.length > 0, visible.some((tab) => !tab.topic));
    const active = this.activeTabs;
    if (active.length === 0) return this.stream.isOpen && this.stream.close();
    const topics = [...new Set(active.map((tab) => tab.topic))].sort();
    const same = this.stream.isOpen && topics.join() === this.stream.topics.join();
    if (!same || active.some((tab) => this.needsOlder(tab))) this.stream.open(topics, earliestPositions(topics, active));
  }

  needsOlder(tab) {
    const at = this.stream.next.get(tab.topic);
    return [...tab.next].some(([partition, offset]) => offset < (at?.get(partition) ?? 0));
  }

  deliver(kind, data, position) {
    let overflowed = false;
    for (const tab of this.tabs.values()) {
      if (!tab.visible || tab.full || tab.topic !== position.topic) continue;
      const next = tab.next.get(position.partition) ?? 0;
      if (kind === "gap") {
        if (position.reason === "retention" && next >= position.to) continue;
        tab.next.set(position.partition, position.to);
      } else {
        if (position.offset < next) continue;
        tab.next.set(position.partition, position.offset + 1);
      }
      tab.queue.push([kind, data]);
      tab.characters += data.length;
      tab.full = tab.queue.length >= MAX_QUEUED_RECORDS || tab.characters >= MAX_QUEUED_CHARACTERS;
      overflowed ||= tab.full;
    }
    if (overflowed) this.updateStream();
    this.flushing ||= setTimeout(() => {
      this.flushing = 0;
      this.tabs.forEach((tab) => this.flush(tab));
    }, FLUSH_MS);
  }

  flush(tab) {
    while (tab.visible && tab.queue.length > 0 && tab.inFlight < MAX_IN_FLIGHT) {
      let characters = 0;
      let length = 0;
      while (length < Math.min(MAX_BATCH_RECORDS, tab.queue.length) && characters < MAX_BATCH_CHARACTERS) {
        characters += tab.queue[length][1].length;
        length += 1;
      }
      tab.inFlight += 1;
      tab.characters -= characters;
      tab.send({ type: "records", epoch: tab.epoch, records: tab.queue.splice(0, length) });
    }
    if (tab.full && tab.queue.length < MAX_BATCH_RECORDS) {
      tab.full = false;
      this.updateStream();
    }
  }

  /** Closes the stream: another tab becomes the leader. */
  stop() {
    this.tabs.clear();
    this.updateStream();
  }

  broadcastState() {
    this.broadcast({ type: "stream", state: this.stream.state });
  }

  broadcast(message) {
    for (const tab of this.tabs.values()) if (tab.visible) tab.send(message);
  }
}

/** Returns the earliest position of the tabs. A partition that some tab does not know is new, and read from its beginning. */
function earliestPositions(topics, tabs) {
  return new Map(topics.map((topic) => {
    const positions = tabs.filter((tab) => tab.topic === topic).map((tab) => tab.next);
    const known = [...positions[0].keys()].filter((partition) => positions.every((next) => next.has(partition)));
    return [topic, new Map(known.map((partition) => [partition, Math.min(...positions.map((next) => next.get(partition)))]))];
  }));
}
