// The live series of a topic: one event stream of /series while the tab is visible. A hidden tab closes it, and resumes at
// the last update.

import { detailOf, endpoint } from "./base.js";
import { EventStream } from "../client.js";
import { isComplete, longerStep, questionUrl } from "./question.js";
import { SeriesData } from "./series_data.js";

/** A rejection is permanent for EventStream, but its cause may go away: the topic is created, or a session begins. */
const RETRY_AFTER_REJECTION_MS = 5000;
/** The longest time between two updates of a live window. */
const MAX_INTERVAL_MS = 3000;
/** While the past is being read, it moves on at least this often, unless the server has no memory for more. */
const READING_STALLED_MS = 20_000;

export class SeriesFeed extends SeriesData {
  /** Calls `onChange()` after each message and change of state. */
  constructor(topic, question, onChange) {
    super();
    this.topic = topic;
    this.question = question;
    this.onChange = onChange;
    /** `kind` is connecting, reading, live, complete or failed. A failed stream has `detail` and `retryAt`. */
    this.state = { kind: "connecting", detail: "" };
    this.isPaused = false;
    this.source = null;
    this.lastEventId = "";
    this.progressAt = 0;
    this.visibilityChanged = () => this.connectOrClose();
    document.addEventListener("visibilitychange", this.visibilityChanged);
    this.connectOrClose();
  }

  stop() {
    document.removeEventListener("visibilitychange", this.visibilityChanged);
    this.isStopped = true;
    this.close();
  }

  /** A paused feed keeps its points, and closes the stream until it is resumed. */
  pause(isPaused) {
    this.isPaused = isPaused;
    this.connectOrClose();
  }

  /** Skips the pause after a failure. */
  retryNow() {
    if (this.timer === undefined) return this.source?.retryNow();
    clearTimeout(this.timer);
    this.connect();
  }

  /** Whether the range ends at a fixed time instead of now. */
  get isFixed() {
    return Boolean(this.question.to);
  }

  /** How long ago the server had read everything up to the end of the topic, in ms, without the usual time between updates. */
  get lag() {
    if (this.completeTo === null || this.state.kind === "complete") return 0;
    return Math.max(0, this.now() - this.completeTo - Math.max(1000, Math.min(MAX_INTERVAL_MS, this.step)));
  }

  connectOrClose() {
    const isWanted = !this.isStopped && !this.isPaused && !document.hidden && this.state.kind !== "complete";
    if (!isWanted) this.close();
    else if (!this.source && this.timer === undefined) this.connect();
  }

  close() {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.source?.close();
    this.source = null;
  }

  connect() {
    this.timer = undefined;
    const { lastEventId } = this;
    const source = new EventStream(endpoint(questionUrl(this.topic, this.question)), { lastEventId });
    this.source = source;
    // Time without a stream is not time in which the reading has stalled.
    this.progressAt = Date.now();
    this.setState({ kind: "connecting", detail: "" });
    source.onmessage = (event) => this.receive(event, false);
    source.addEventListener("update", (event) => this.receive(event, true));
    source.onproblem = (event) => this.setState({ kind: "failed", detail: detailOf(event.data, event.data), retryAt: Date.now() });
    source.onerror = (event) => this.disconnected(event);
    source.onend = () => this.setState({ kind: "complete", detail: "" });
  }

  receive({ data, lastEventId }, isUpdate) {
    const before = this.completeFrom;
    this.apply(JSON.parse(data), isUpdate);
    this.lastEventId = lastEventId;
    if (this.completeFrom !== before) this.progressAt = Date.now();
    if (this.reopenWithLongerStep()) return;
    this.setState({ kind: this.kindOf(lastEventId), detail: "" });
    if (this.state.kind === "complete") this.close();
  }

  /** With a longer step, a response has room for more series. */
  reopenWithLongerStep() {
    const included = [...this.fields.values(), ...this.states.values()].reduce((sum, keys) => sum + keys.size, 0);
    const step = longerStep(this.step, this.omitted, included);
    if (step === null) return false;
    this.question = { ...this.question, step: `${step}ms` };
    this.lastEventId = "";
    this.close();
    this.connect();
    return true;
  }

  kindOf(id) {
    if (isComplete(id)) return "complete";
    const isReading = this.completeFrom > this.from && Date.now() - this.progressAt < READING_STALLED_MS;
    return isReading ? "reading" : "live";
  }

  disconnected({ detail, retryIn }) {
    if (retryIn === null) {
      this.source = null;
      this.timer = setTimeout(() => this.connect(), RETRY_AFTER_REJECTION_MS);
    }
    const shown = this.state.kind === "failed" ? this.state.detail : detail;
    this.setState({ kind: "failed", detail: shown.slice(0, 500), retryAt: Date.now() + (retryIn ?? RETRY_AFTER_REJECTION_MS) });
  }

  setState(state) {
    this.state = state;
    this.onChange();
  }
}
