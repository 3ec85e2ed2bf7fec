// The shared worker: the hub for all tabs of this browser.

import { Hub } from "./hub.js";

const hub = new Hub();
let tabs = 0;

self.onconnect = (event) => {
  const port = event.ports[0];
  const id = (tabs += 1);
  const send = (message) => port.postMessage(message);
  port.onmessage = ({ data }) => hub.receive(id, send, data);
  // Where the browser tells that a tab is gone (it may also have crashed).
  port.onclose = () => hub.receive(id, send, { type: "close" });
};
