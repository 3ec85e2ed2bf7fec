// Connects a tab to the hub: in a shared worker, else in an elected leader tab, else in this tab.

import { endpoint, scoped } from "./base.js";
import { Hub } from "./hub.js";

/** Part of the shared names: after an upgrade, old tabs may still run a hub with an older message format. */
const PROTOCOL = 2;

/** The Content-Security-Policy requires Trusted Types for the URL of a worker. */
const policy = window.trustedTypes?.createPolicy("curlew-worker", { createScriptURL: () => endpoint("dashboard/worker.js") });

/** Calls `receive(message)` for messages of the hub, and `hubChanged()` when a new hub without subscriptions takes over. */
export function connect(receive, hubChanged) {
  const forced = new URLSearchParams(location.search).get("share");
  if (window.SharedWorker && !forced) return viaSharedWorker(receive);
  if (window.BroadcastChannel && navigator.locks && forced !== "own") return viaLeaderTab(receive, hubChanged);
  return inThisTab(receive);
}

function viaSharedWorker(receive) {
  const worker = new SharedWorker(policy ? policy.createScriptURL("") : endpoint("dashboard/worker.js"), { type: "module", name: scoped(`curlew-hub-${PROTOCOL}`) });
  worker.port.onmessage = ({ data }) => receive(data);
  return { send: (message) => worker.port.postMessage(message), setVisible() {} };
}

/** Runs the hub in the visible tab that holds the lock. A hidden tab releases it, because browsers throttle hidden tabs. */
function viaLeaderTab(receive, hubChanged) {
  const id = `${Date.now()}-${Math.random()}`;
  const channel = new BroadcastChannel(scoped(`curlew-hub-${PROTOCOL}`));
  let hub = null;
  let resign = null;
  let candidacy = null;
  const deliver = (to) => (message) => (to === id ? queueMicrotask(() => receive(message)) : channel.postMessage({ to, message }));
  channel.onmessage = ({ data }) => {
    if (data.to === id) receive(data.message);
    else if (data.to === "hub") hub?.receive(data.from, deliver(data.from), data.message);
    else if (data.to === "all") hubChanged();
  };
  async function lead(signal) {
    const led = navigator.locks.request(scoped(`curlew-hub-${PROTOCOL}`), { signal }, () => new Promise((resolve) => {
      resign = resolve;
      hub = new Hub();
      channel.postMessage({ to: "all" });
      hubChanged();
    }));
    await led.catch(() => {});
  }
  return {
    send: (message) => (hub ? hub.receive(id, deliver(id), message) : channel.postMessage({ to: "hub", from: id, message })),
    setVisible(visible) {
      if (visible && !candidacy) {
        candidacy = new AbortController();
        lead(candidacy.signal);
      } else if (!visible && candidacy) {
        candidacy.abort();
        hub?.stop();
        hub = null;
        resign?.();
        resign = candidacy = null;
      }
    },
  };
}

function inThisTab(receive) {
  const hub = new Hub();
  const send = (message) => queueMicrotask(() => receive(message));
  return { send: (message) => hub.receive(0, send, message), setVisible() {} };
}
