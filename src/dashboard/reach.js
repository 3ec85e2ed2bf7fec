// Reaching the hub: in a shared worker; where there is none, in the tab that leads; else in this tab.

import { endpoint, scoped } from "./base.js";
import { Hub } from "./hub.js";

/** The page's policy takes a worker's address only from here. */
const policy = window.trustedTypes?.createPolicy("curlew-worker", { createScriptURL: () => endpoint("dashboard/worker.js") });

/** `hear(message)` from the hub; `changed()` when there is another hub, which knows nothing yet. */
export function reach(hear, changed) {
  const forced = new URLSearchParams(location.search).get("share");
  if (window.SharedWorker && !forced) return throughWorker(hear);
  if (window.BroadcastChannel && navigator.locks && forced !== "own") return throughLeader(hear, changed);
  return alone(hear);
}

function throughWorker(hear) {
  const worker = new SharedWorker(policy ? policy.createScriptURL("") : endpoint("dashboard/worker.js"), { type: "module", name: scoped("curlew") });
  worker.port.onmessage = ({ data }) => hear(data);
  return { send: (message) => worker.port.postMessage(message), wake() {} };
}

/** The visible tab that holds the lock has the hub; a hidden one gives it up. */
function throughLeader(hear, changed) {
  const id = `${Date.now()}-${Math.random()}`;
  const channel = new BroadcastChannel(scoped("curlew"));
  let hub = null;
  let resign = null;
  let waiting = null;
  const deliver = (to) => (message) => (to === id ? queueMicrotask(() => hear(message)) : channel.postMessage({ to, message }));
  channel.onmessage = ({ data }) => {
    if (data.to === id) hear(data.message);
    else if (data.to === "hub") hub?.hear(data.from, deliver(data.from), data.message);
    else if (data.to === "all") changed();
  };
  async function lead(signal) {
    const led = navigator.locks.request(scoped("curlew-hub"), { signal }, () => new Promise((resolve) => {
      resign = resolve;
      hub = new Hub();
      channel.postMessage({ to: "all" });
      changed();
    }));
    await led.catch(() => {});
  }
  return {
    send: (message) => (hub ? hub.hear(id, deliver(id), message) : channel.postMessage({ to: "hub", from: id, message })),
    wake(isAwake) {
      if (isAwake && !waiting) {
        waiting = new AbortController();
        lead(waiting.signal);
      } else if (!isAwake && waiting) {
        waiting.abort();
        hub?.end();
        hub = null;
        resign?.();
        resign = waiting = null;
      }
    },
  };
}

function alone(hear) {
  const hub = new Hub();
  const send = (message) => queueMicrotask(() => hear(message));
  return { send: (message) => hub.hear(0, send, message), wake() {} };
}
