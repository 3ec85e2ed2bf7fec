// A tab's end of the shared stream: subscribes to a topic at a position, and passes records to the view.

import { connect } from "./transport.js";

const listeners = { records: new Set(), stream: new Set(), topics: new Set() };
let subscription = { topic: null, next: new Map() };
let epoch = 0;
let processing = Promise.resolve();

/** The latest update of each kind, for views created later, and what the page's state depends on besides. */
export const latest = { stream: { kind: "idle" }, topics: null, paused: false, series: null };

const isVisible = () => document.visibilityState === "visible";
const transport = connect(receive, () => subscribe());

export function on(type, listener) {
  listeners[type].add(listener);
  return () => listeners[type].delete(listener);
}

/** Follows a topic from the next offset of each partition; null stops following. */
export function follow(topic, next = new Map()) {
  subscription = { topic, next };
  epoch += 1;
  subscribe();
}

/** The topic that this tab follows, or null. */
export const topic = () => subscription.topic;

/** The next offset of each partition, after the records this tab has received. */
export const position = () => subscription.next;

/** After a sign-in or sign-out the hub fetches everything again with the new session. */
export const signedIn = () => transport.send({ type: "signed-in" });
export const signedOut = () => transport.send({ type: "signed-out" });

function subscribe() {
  transport.send({ type: "subscribe", topic: subscription.topic, next: [...subscription.next], epoch, visible: isVisible() });
}

function receive(message) {
  switch (message.type) {
    case "records":
      if (message.epoch === epoch) processing = processing.then(() => processRecords(message));
      break;
    case "stream":
      latest.stream = message.state;
      listeners.stream.forEach((listener) => listener(message.state));
      break;
    case "topics":
      latest.topics = message;
      listeners.topics.forEach((listener) => listener(message));
      break;
    case "resync":
      subscribe();
      break;
  }
}

/** Passes records to the listeners and acknowledges them. A listener that returns a promise slows the hub down (backpressure). */
async function processRecords({ records, epoch: sentEpoch }) {
  if (sentEpoch !== epoch) return;
  const fresh = records.filter(([kind, data]) => isNew(kind, data));
  for (const listener of listeners.records) await listener(fresh);
  transport.send({ type: "ack", epoch: sentEpoch });
}

/** Returns false for a record that this tab already has: after the hub changes, records can arrive twice. */
function isNew(kind, data) {
  const match = /"partition":(\d+),"(?:offset|from)":(\d+)(?:,"to":(\d+))?/.exec(data);
  if (!match) return false;
  const partition = Number(match[1]);
  if (kind === "gap") {
    subscription.next.set(partition, Number(match[3]));
    return true;
  }
  const offset = Number(match[2]);
  if (offset < (subscription.next.get(partition) ?? 0)) return false;
  subscription.next.set(partition, offset + 1);
  return true;
}

document.addEventListener("visibilitychange", () => {
  transport.setVisible(isVisible());
  transport.send({ type: "visibility", visible: isVisible() });
});
addEventListener("pagehide", () => transport.send({ type: "close" }));
addEventListener("pageshow", (event) => event.persisted && subscribe());
addEventListener("online", () => transport.send({ type: "visibility", visible: isVisible() }));
transport.setVisible(isVisible());
subscribe();
