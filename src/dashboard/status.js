// The two indicators in the header (stream and broker) and the banner with the current problem.

import { announce, el, setText } from "./dom.js";
import * as feed from "./feed.js";

export class StatusBar {
  constructor() {
    this.stream = el("span", { class: "indicator", id: "stream" });
    this.broker = el("span", { class: "indicator", id: "broker" });
    this.banner = el("div", { class: "banner problem", role: "status", hidden: true, id: "banner" });
    this.element = el("div", { class: "indicators" }, this.stream, this.broker);
    feed.on("stream", () => this.update());
    feed.on("topics", () => this.update());
    setInterval(() => this.update(), 500);
    this.update();
  }

  update() {
    if (document.hidden) return;
    const { stream, topics } = feed.latest;
    const [kind, text] = streamText(stream, topics?.broker);
    indicator(this.stream, kind, text);
    const broker = topics?.broker;
    const labels = { up: "Broker connected", down: "Kafka unreachable", unreachable: "Curlew unreachable", "signed-out": "Signed out" };
    indicator(this.broker, broker ? (broker.kind === "up" ? "good" : "bad") : "idle", broker ? labels[broker.kind] : "Broker …");
    const message = broker?.kind === "signed-out" ? "" : stream.kind !== "open" && stream.detail ? `Stream error: ${stream.detail}` : broker && broker.kind !== "up" ? `${labels[broker.kind]}: ${broker.detail}` : "";
    this.banner.hidden = message === "";
    setText(this.banner, message);
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
      return broker?.kind === "up" ? ["good", "Connected"] : ["idle", "Not connected"];
  }
}

function indicator(element, kind, text) {
  element.className = `indicator ${kind}`;
  setText(element, text);
}
