// The two lamps at the top: the stream, with the count-down to its next try, and the broker.

import { announce, el, setText } from "./dom.js";
import * as feed from "./feed.js";

export class Status {
  constructor() {
    this.stream = el("span", { class: "lamp", id: "stream" });
    this.broker = el("span", { class: "lamp", id: "broker" });
    this.said = el("div", { class: "banner problem", role: "status", hidden: true, id: "said" });
    this.element = el("div", { class: "lamps" }, this.stream, this.broker);
    feed.on("stream", () => this.tell());
    feed.on("topics", () => this.tell());
    setInterval(() => this.tell(), 500);
    this.tell();
  }

  tell() {
    if (document.hidden) return;
    const { stream, topics } = feed.latest;
    const [kind, text] = streamText(stream, topics?.broker);
    lamp(this.stream, kind, text);
    const broker = topics?.broker;
    const words = { up: "Broker up", down: "Broker away", unreachable: "Curlew away", locked: "Signed out" };
    lamp(this.broker, broker ? (broker.kind === "up" ? "good" : "bad") : "idle", broker ? words[broker.kind] : "Broker …");
    const said = broker?.kind === "locked" ? "" : stream.kind !== "open" && stream.said ? `The server said: ${stream.said}` : broker && broker.kind !== "up" ? `${words[broker.kind]}: ${broker.said}` : "";
    this.said.hidden = said === "";
    setText(this.said, said);
    if (kind !== this.kind && this.kind) announce(kind === "good" ? "Connected" : `Stream: ${text}`);
    this.kind = kind;
  }
}

function streamText(stream, broker) {
  switch (stream.kind) {
    case "open":
      return ["good", "Live"];
    case "connecting":
      return ["idle", "Connecting…"];
    case "waiting": {
      const seconds = Math.max(0, Math.ceil((stream.retryAt - Date.now()) / 1000));
      return ["bad", seconds > 0 ? `Reconnecting in ${seconds} s` : "Reconnecting…"];
    }
    default:
      return broker?.kind === "up" ? ["good", "Watching"] : ["idle", "No stream"];
  }
}

function lamp(element, kind, text) {
  element.className = `lamp ${kind}`;
  setText(element, text);
}
