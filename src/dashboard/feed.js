// A tab's end of the shared stream: says what it looks at and where it is, and takes records.

import { reach } from "./reach.js";

const listeners = { records: new Set(), stream: new Set(), topics: new Set() };
let want = { topic: null, next: new Map() };
let epoch = 0;
let taking = Promise.resolve();

/** The last news of each kind, for views that are made later. */
export const latest = { stream: { kind: "idle" }, topics: null };

const awake = () => document.visibilityState === "visible";
const hub = reach(hear, () => sayWant());

export function on(type, listener) {
  listeners[type].add(listener);
  return () => listeners[type].delete(listener);
}

/** Follows a topic from the next offset of each partition; null follows none. */
export function follow(topic, next = new Map()) {
  want = { topic, next };
  epoch += 1;
  sayWant();
}

/** The next offset of each partition that this tab has not taken. */
export const place = () => want.next;

/** Somebody signed `in` or `out`: what was asked before is asked anew. */
export const signed = (way) => hub.send({ type: "signed", way });

function sayWant() {
  hub.send({ type: "want", topic: want.topic, next: [...want.next], epoch, awake: awake() });
}

function hear(message) {
  switch (message.type) {
    case "records":
      if (message.epoch === epoch) taking = taking.then(() => take(message));
      break;
    case "stream":
      latest.stream = message.state;
      listeners.stream.forEach((listener) => listener(message.state));
      break;
    case "topics":
      latest.topics = message;
      listeners.topics.forEach((listener) => listener(message));
      break;
    case "who":
      sayWant();
      break;
  }
}

/** A listener may take its time (a promise); the hub then waits before it sends more. */
async function take({ records, epoch: of }) {
  if (of !== epoch) return;
  const fresh = records.filter(([kind, data]) => isNew(kind, data));
  for (const listener of listeners.records) await listener(fresh);
  hub.send({ type: "took", epoch: of });
}

/** Whoever sends it, however often it was sent: a record counts once. */
function isNew(kind, data) {
  const head = /"partition":(\d+),"(?:offset|from)":(\d+)(?:,"to":(\d+))?/.exec(data);
  if (!head) return false;
  const partition = Number(head[1]);
  if (kind === "gap") {
    want.next.set(partition, Number(head[3]));
    return true;
  }
  const offset = Number(head[2]);
  if (offset < (want.next.get(partition) ?? 0)) return false;
  want.next.set(partition, offset + 1);
  return true;
}

document.addEventListener("visibilitychange", () => {
  hub.wake(awake());
  hub.send({ type: "awake", awake: awake() });
});
addEventListener("pagehide", () => hub.send({ type: "bye" }));
addEventListener("pageshow", (event) => event.persisted && sayWant());
addEventListener("online", () => hub.send({ type: "awake", awake: awake() }));
hub.wake(awake());
sayWant();
