// Polls all topics with their offsets, once for all tabs, and computes the rate of each topic over the last 5 minutes.

import { endpoint, problemOf } from "./base.js";
import { addSample, currentRate, mergeHistory, rateHistory, writtenTo } from "./written.js";

const POLL_MS = 2000;
/** After a longer pause, the bridge knows the rates in between. */
const PAUSE_MS = 10_000;

export class TopicPoller {
  constructor(onUpdate) {
    this.onUpdate = onUpdate;
    this.active = false;
    this.withLast = false;
    this.samples = new Map();
    this.last = null;
    this.answeredAt = 0;
    this.polls = 0;
  }

  /** Polls only while a tab is visible, and reads the newest records only while a tab shows them. */
  setActive(active, withLast) {
    const isDue = active && (!this.active || (withLast && !this.withLast));
    Object.assign(this, { active, withLast });
    if (!active || isDue) clearTimeout(this.timer);
    if (isDue) this.poll();
  }

  /** Polls now instead of after the interval. */
  pollNow() {
    if (!this.active) return;
    clearTimeout(this.timer);
    this.poll();
  }

  sendLast(send) {
    if (this.last) send({ type: "topics", ...this.last });
  }

  async poll() {
    const started = Date.now();
    const poll = (this.polls += 1);
    const update = await fetchTopics(this.withLast, started - this.answeredAt > PAUSE_MS);
    // A later poll may request more, and answer first.
    if (poll !== this.polls) return;
    if (update.topics) {
      this.addRates(update);
      this.answeredAt = update.receivedAt ?? 0;
    }
    this.last = update.topics ? update : { ...this.last, ...update };
    if (!this.active) return;
    this.onUpdate(this.last);
    clearTimeout(this.timer);
    // Poll a slow broker less often.
    this.timer = setTimeout(() => this.poll(), Math.max(POLL_MS, 4 * (Date.now() - started)));
  }

  addRates(update) {
    const samples = new Map();
    for (const topic of update.topics) {
      // Without an age, the offsets are as old as the request.
      const timeOf = (age) => update.receivedAt - age;
      const at = topic.age === undefined ? update.at : timeOf(topic.age);
      let own = this.samples.get(topic.name) ?? [];
      if (topic.history) own = mergeHistory(own, topic.history.map(([age, written]) => ({ at: timeOf(age), written })));
      topic.written = writtenTo(topic);
      if (topic.written !== null) own = addSample(own, { at, written: topic.written });
      samples.set(topic.name, own);
      topic.rate = topic.written === null ? null : currentRate(own);
      topic.rates = rateHistory(own);
      delete topic.history;
    }
    this.samples = samples;
  }
}

async function fetchTopics(withLast, withHistory) {
  const at = Date.now();
  const query = [withLast && "last=true", withHistory && "history=true"].filter(Boolean).join("&");
  try {
    const response = await fetch(endpoint(`topics?${query || "offsets=true"}`));
    if (response.ok) {
      const topics = await response.json();
      return { at, receivedAt: Date.now(), broker: { kind: "up" }, topics };
    }
    const detail = await problemOf(response);
    // Clear the topics that the previous session could see.
    if (response.status === 401) return { at, broker: { kind: "signed-out", detail: "sign in" }, topics: [] };
    return { at, broker: { kind: /^no broker answers/.test(detail) ? "down" : "failed", detail } };
  } catch {
    return { at, broker: { kind: "unreachable", detail: "no response" } };
  }
}
