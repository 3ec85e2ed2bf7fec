// The shared worker that runs the hub for all tabs of the browser.

import { Hub } from "./hub.js";

const hub = new Hub();
let tabs = 0;

self.onconnect = (event) => {
  const port = event.ports[0];
  const id = (tabs += 1);
  const send = (message) => port.postMessage(message);
  port.onmessage = ({ data }) => hub.receive(id, send, data);
  // Browsers with this event report a closed or crashed tab.
  port.onclose = () => hub.receive(id, send, { type: "close" });
};
