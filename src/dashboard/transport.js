// Reaching the hub: in a shared worker; where there is none, in the tab that leads; else in this tab.

import { endpoint, scoped } from "./base.js";
import { Hub } from "./hub.js";

/** In the names that tabs share: a tab of an older Curlew, with other messages, must not answer this one. */
const PROTOCOL = 2;

/** The page's policy takes a worker's address only from here. */
const policy = window.trustedTypes?.createPolicy("curlew-worker", { createScriptURL: () => endpoint("dashboard/worker.js") });

/** `receive(message)` from the hub; `hubChanged()` when there is another hub, which knows nothing yet. */
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

/** The visible tab that holds the lock has the hub; a hidden one gives it up. */
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
