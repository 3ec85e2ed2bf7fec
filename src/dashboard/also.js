// More topics on the page of a topic: their charts, below each other, with the range, the pointer and the colours of the first.

import { latestEntries } from "./browse.js";
import { Charts } from "./charts.js";
import { button, el, labelled, setText } from "./dom.js";
import { questionWithoutShape } from "./shape.js";
import { SeriesFeed } from "./series_feed.js";
import { ShapeTracker } from "./shape_tracker.js";
import * as url from "./url.js";

const TOPIC_NAME = /^[A-Za-z0-9._-]{1,249}$/;
/** Over HTTP/1.1 a browser has up to 6 connections to a host, for all tabs: each topic takes one, and the records another. */
const MOST_ON_HTTP_1 = 2;
const MOST = 7;
/** The number of latest records from which the shape of a topic is detected. */
const SHAPE_RECORDS = 200;

/** Returns the maximum number of further topics on a page. `protocol` is the ALPN name of the protocol of the connection. */
export const mostTopics = (protocol) => (protocol === "h2" || protocol === "h3" ? MOST : MOST_ON_HTTP_1);

/** Returns why a topic cannot be added, or "". */
export function refusal(name, topic, others, most) {
  if (!TOPIC_NAME.test(name)) return `${name} is not a topic name: letters, digits, dot, underscore and hyphen, up to 249`;
  if (name === topic || others.includes(name)) return `${name} is on the page already`;
  const limit = most < MOST ? `; over HTTPS with HTTP/2, up to ${MOST + 1}` : "";
  return others.length >= most ? `A page has up to ${most + 1} topics${limit}` : "";
}

class AlsoTopic {
  constructor(topic, leader, onRemove) {
    this.topic = topic;
    this.charts = new Charts({ marks: [] }, leader.onZoom, { leader, topic });
    this.series = null;
    this.range = null;
    this.question = null;
    this.isPaused = false;
    const id = `also-${topic}`;
    this.element = el("section", { class: "also charts-section", "aria-labelledby": id },
      el("header", {}, el("h2", { id }, el("a", url.link({ topic }), el("bdi", {}, topic))), el("span", { class: "grow" }), this.charts.menu, this.charts.csv.element,
        button("Remove", onRemove, { class: "small", "aria-label": `Remove ${topic} from the page` })),
      this.charts.nothing, this.charts.element, this.charts.note);
    this.charts.start();
    this.findShape();
  }

  stop() {
    this.isStopped = true;
    this.series?.stop();
    this.charts.stop();
    this.element.remove();
  }

  /** Detects the shape of the topic from its latest records. */
  async findShape() {
    const tracker = new ShapeTracker();
    tracker.add(await latestEntries(this.topic, SHAPE_RECORDS).catch(() => []));
    tracker.update({}, Date.now());
    if (tracker.shape) this.charts.use(tracker.shape);
    this.question = tracker.question ?? questionWithoutShape({});
    this.open();
  }

  /** Shows a range: `from` and `to` of a question, and the time of the first record if the range begins there. */
  show(range, first) {
    this.range = { range, first };
    this.open();
  }

  open() {
    if (this.isStopped || !this.range || !this.question) return;
    this.series?.stop();
    const { range, first } = this.range;
    this.series = new SeriesFeed(this.topic, { ...range, ...this.question }, () => this.changed(first));
    this.series.pause(this.isPaused);
  }

  changed(first) {
    if (this.series && (this.series.step !== null || this.series.state.kind === "failed")) this.charts.show(this.series, first);
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    this.series?.pause(isPaused);
  }
}

export class AlsoTopics {
  /** `leader` are the charts of the page's topic. */
  constructor(topic, leader) {
    this.topic = topic;
    this.leader = leader;
    this.topics = new Map();
    this.shown = null;
    this.isPaused = false;
    this.most = mostTopics(performance.getEntriesByType("navigation")[0]?.nextHopProtocol);
    this.element = el("div");
    this.input = el("input", { list: "topic-names", autocomplete: "off", spellcheck: false, required: true });
    this.error = el("p", { class: "validation bad", role: "alert" });
    const form = el("form", { onsubmit: (event) => { event.preventDefault(); this.submit(); } }, labelled("Topic", this.input), el("button", { class: "primary" }, "Add"), this.error);
    this.menu = el("details", { class: "menu", ontoggle: () => this.menu.open && this.input.focus() }, el("summary", {}, "Add topic"), el("fieldset", {}, el("legend", {}, "Show the charts of another topic, too"), form));
    for (const name of url.alsoTopics()) this.add(name);
  }

  get names() {
    return [...this.topics.keys()];
  }

  stop() {
    this.topics.forEach((topic) => topic.stop());
  }

  submit() {
    const name = this.input.value.trim();
    const reason = this.add(name);
    setText(this.error, reason);
    if (reason) return;
    this.input.value = "";
    this.menu.open = false;
    url.setAlsoTopics(this.names);
    this.topics.get(name).element.scrollIntoView({ block: "nearest" });
  }

  /** Adds a topic; returns why it cannot be added, or "". */
  add(name) {
    const reason = refusal(name, this.topic, this.names, this.most);
    if (reason) return reason;
    const topic = new AlsoTopic(name, this.leader, () => this.remove(name));
    topic.pause(this.isPaused);
    this.topics.set(name, topic);
    this.element.append(topic.element);
    if (this.shown) topic.show(...this.shown);
    return "";
  }

  remove(name) {
    this.topics.get(name).stop();
    this.topics.delete(name);
    url.setAlsoTopics(this.names);
    this.menu.firstChild.focus();
  }

  show(range, first) {
    if (JSON.stringify(this.shown) === JSON.stringify([range, first])) return;
    this.shown = [range, first];
    this.topics.forEach((topic) => topic.show(range, first));
  }

  retryNow() {
    this.topics.forEach(({ series }) => series?.retryNow());
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    this.topics.forEach((topic) => topic.pause(isPaused));
  }
}
