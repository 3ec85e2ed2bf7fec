// What all tabs of a browser share: one stream for everything that any of them looks at.
//
// Each tab has a place, the next offset of each partition. The stream is opened at the earliest of the
// places; a tab gets what is at or after its own. So a tab may come, sleep, be slow or change its topic,
// and nobody misses a record or sees one twice.

import { Stream } from "./stream.js";
import { Watch } from "./watch.js";

/** Records and characters that may wait for a tab. One that has more is left out until it has taken them. */
const MOST_WAITING = 20_000;
const MOST_CHARACTERS = 16 << 20;
/** Of one message to a tab, and messages on their way. */
const BATCH = 2000;
const BATCH_CHARACTERS = 1 << 20;
const ON_THE_WAY = 2;
const FLUSH_MS = 40;

export class Hub {
  constructor() {
    this.tabs = new Map();
    this.stream = new Stream((kind, data, at) => this.deliver(kind, data, at), () => this.tellState());
    this.watch = new Watch((news) => this.tellAll({ type: "topics", ...news }));
    this.flushing = 0;
  }

  /** `send(message)` reaches the tab. */
  hear(id, send, message) {
    let tab = this.tabs.get(id);
    if (!tab && message.type !== "want") return send({ type: "who" });
    if (!tab) this.tabs.set(id, (tab = { id, send, awake: true, topic: null, next: new Map(), waiting: [], characters: 0, onTheWay: 0, full: false, epoch: 0 }));
    switch (message.type) {
      case "want":
        Object.assign(tab, { send, awake: message.awake, topic: message.topic, next: new Map(message.next), epoch: message.epoch, waiting: [], characters: 0, onTheWay: 0, full: false });
        this.watch.tellLast(send);
        break;
      case "took":
        if (message.epoch === tab.epoch) tab.onTheWay -= 1;
        this.flush(tab);
        break;
      case "awake":
        tab.awake = message.awake;
        if (message.awake) this.stream.hurry();
        break;
      case "signed":
        // What was opened for who signs out would go on.
        if (message.way === "out") this.stream.close();
        this.watch.hurry();
        this.stream.hurry();
        break;
      case "bye":
        this.tabs.delete(id);
        break;
    }
    this.decide();
    if (message.type === "want" || message.type === "awake") this.tellState();
  }

  get active() {
    return [...this.tabs.values()].filter((tab) => tab.awake && tab.topic && !tab.full);
  }

  /** Opens, closes or moves the stream, or leaves it as it is. */
  decide() {
    this.watch.run([...this.tabs.values()].some((tab) => tab.awake));
    const active = this.active;
    if (active.length === 0) return this.stream.isOpen && this.stream.close();
    const topics = [...new Set(active.map((tab) => tab.topic))].sort();
    const same = this.stream.isOpen && topics.join() === this.stream.topics.join();
    if (!same || active.some((tab) => this.isBehind(tab))) this.stream.open(topics, earliest(topics, active));
  }

  isBehind(tab) {
    const at = this.stream.next.get(tab.topic);
    return [...tab.next].some(([partition, offset]) => offset < (at?.get(partition) ?? 0));
  }

  deliver(kind, data, at) {
    let overflowed = false;
    for (const tab of this.tabs.values()) {
      if (!tab.awake || tab.full || tab.topic !== at.topic) continue;
      const next = tab.next.get(at.partition) ?? 0;
      if (kind === "gap") {
        if (at.reason === "retention" && next >= at.to) continue;
        tab.next.set(at.partition, at.to);
      } else {
        if (at.offset < next) continue;
        tab.next.set(at.partition, at.offset + 1);
      }
      tab.waiting.push([kind, data]);
      tab.characters += data.length;
      tab.full = tab.waiting.length >= MOST_WAITING || tab.characters >= MOST_CHARACTERS;
      overflowed ||= tab.full;
    }
    if (overflowed) this.decide();
    this.flushing ||= setTimeout(() => {
      this.flushing = 0;
      this.tabs.forEach((tab) => this.flush(tab));
    }, FLUSH_MS);
  }

  flush(tab) {
    while (tab.awake && tab.waiting.length > 0 && tab.onTheWay < ON_THE_WAY) {
      let characters = 0;
      let length = 0;
      while (length < Math.min(BATCH, tab.waiting.length) && characters < BATCH_CHARACTERS) {
        characters += tab.waiting[length][1].length;
        length += 1;
      }
      tab.onTheWay += 1;
      tab.characters -= characters;
      tab.send({ type: "records", epoch: tab.epoch, records: tab.waiting.splice(0, length) });
    }
    if (tab.full && tab.waiting.length < BATCH) {
      tab.full = false;
      this.decide();
    }
  }

  /** Another tab leads from now on. */
  end() {
    this.tabs.clear();
    this.decide();
  }

  tellState() {
    this.tellAll({ type: "stream", state: this.stream.state });
  }

  tellAll(message) {
    for (const tab of this.tabs.values()) if (tab.awake) tab.send(message);
  }
}

/** The earliest place of any tab in each partition; a partition that a tab does not know is new, and read from its beginning. */
function earliest(topics, tabs) {
  return new Map(topics.map((topic) => {
    const places = tabs.filter((tab) => tab.topic === topic).map((tab) => tab.next);
    const known = [...places[0].keys()].filter((partition) => places.every((next) => next.has(partition)));
    return [topic, new Map(known.map((partition) => [partition, Math.min(...places.map((next) => next.get(partition)))]))];
  }));
}
