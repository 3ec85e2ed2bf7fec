// The state of the page in the header, and the banner with the current problem.

import { announce, el, setText } from "./dom.js";
import * as feed from "./feed.js";
import { lagOf, pageState } from "./state.js";
import * as url from "./url.js";

let visibleSince = 0;
document.addEventListener("visibilitychange", () => (visibleSince = Date.now()));

/** Returns what the page knows now: the arguments of `pageState`. */
export function pageFacts() {
  const { stream, topics, paused, series } = feed.latest;
  const topic = topics?.topics?.find(({ name }) => name === url.state.topic);
  // Before the page follows its topic, the stream belongs to other tabs.
  const isFollowing = topics?.topics && feed.topic() === url.state.topic;
  // A topic that does not exist yet has no records to be behind.
  const lag = !isFollowing ? null : topic ? lagOf(topic, feed.position()) : 0;
  const charts = topic && series ? series : null;
  return { stream, topics, lag, rate: topic?.rate, charts, paused, visibleSince, now: Date.now() };
}

export class StatusBar {
  constructor() {
    this.element = el("span", { class: "indicator", id: "state" });
    this.banner = el("div", { class: "banner problem", role: "status", hidden: true, id: "banner" });
    feed.on("stream", () => this.update());
    feed.on("topics", () => this.update());
    setInterval(() => this.update(), 500);
    this.update();
  }

  update() {
    if (document.hidden) return;
    const { kind, text, detail } = pageState(pageFacts());
    this.element.className = `indicator ${kind}`;
    setText(this.element, text);
    this.banner.hidden = detail === "";
    setText(this.banner, detail);
    if (kind !== this.kind && this.kind) announce(text);
    this.kind = kind;
  }
}
