// Polls all topics with their offsets, once for all tabs, and computes the rate of each topic over the last 5 minutes.

import { endpoint } from "./base.js";

const POLL_MS = 2000;
const MAX_POINTS = 150;
/** The current rate is an average over this time, to keep it steady between responses. */
const RATE_WINDOW_MS = 4000;

export class TopicPoller {
  constructor(onUpdate) {
    this.onUpdate = onUpdate;
    this.active = false;
    this.histories = new Map();
    this.last = null;
  }

  /** Polls only while a tab is visible. */
  setActive(active) {
    if (active === this.active) return;
    this.active = active;
    if (active) this.poll();
    else clearTimeout(this.timer);
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
    const update = await fetchTopics();
    if (update.topics) this.addRates(update);
    this.last = update.topics ? update : { ...this.last, ...update };
    if (!this.active) return;
    this.onUpdate(this.last);
    clearTimeout(this.timer);
    // Poll a slow broker less often.
    this.timer = setTimeout(() => this.poll(), Math.max(POLL_MS, 4 * (Date.now() - started)));
  }

  addRates(update) {
    const histories = new Map();
    for (const topic of update.topics) {
      const written = topic.partitions.reduce((sum, p) => sum + (p.latest ?? 0), 0);
      const history = this.histories.get(topic.name) ?? [];
      // Offsets went back: the topic was recreated.
      if (history.length > 0 && written < history.at(-1).written) history.length = 0;
      history.push({ at: update.at, written });
      if (history.length > MAX_POINTS) history.shift();
      histories.set(topic.name, history);
      topic.written = written;
      topic.rate = currentRate(history);
      topic.rates = rateHistory(history);
    }
    this.histories = histories;
  }
}

async function fetchTopics() {
  const at = Date.now();
  try {
    const response = await fetch(endpoint("topics?offsets=true"));
    if (response.ok) {
      const topics = await response.json();
      return { at, receivedAt: Date.now(), broker: { kind: "up" }, topics };
    }
    const problem = await response.json().catch(() => ({}));
    // Clear the topics that the previous session could see.
    if (response.status === 401) return { at, broker: { kind: "signed-out", detail: "sign in" }, topics: [] };
    const detail = String(problem.detail ?? `status ${response.status}`);
    return { at, broker: { kind: /^no broker answers/.test(detail) ? "down" : "failed", detail } };
  } catch {
    return { at, broker: { kind: "unreachable", detail: "no response" } };
  }
}

/** Returns the current rate in records per second, or null before the second response. */
function currentRate(history) {
  const now = history.at(-1);
  const before = history.findLast((point) => now.at - point.at >= RATE_WINDOW_MS) ?? history[0];
  return before === now ? null : ((now.written - before.written) * 1000) / (now.at - before.at);
}

/** Returns the rates between responses as [time, rate]; the rate is null after a pause in polling. */
function rateHistory(history) {
  const rates = [];
  for (let i = 1; i < history.length; i += 1) {
    const [before, now] = [history[i - 1], history[i]];
    const gap = now.at - before.at > 5 * POLL_MS;
    rates.push([now.at, gap ? null : ((now.written - before.written) * 1000) / (now.at - before.at)]);
  }
  return rates;
}
