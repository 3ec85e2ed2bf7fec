// All topics with their offsets, asked for every two seconds for all tabs together, and what the numbers
// say over time: records a second, and the line of the last minutes.

import { endpoint } from "./base.js";

const POLL_MS = 2000;
const MAX_POINTS = 150;
/** A rate is taken over about this long, so that it does not jump with every response. */
const RATE_WINDOW_MS = 4000;

export class TopicPoller {
  constructor(onUpdate) {
    this.onUpdate = onUpdate;
    this.active = false;
    this.histories = new Map();
    this.last = null;
  }

  /** Only while somebody looks. */
  setActive(active) {
    if (active === this.active) return;
    this.active = active;
    if (active) this.poll();
    else clearTimeout(this.timer);
  }

  /** Asks now rather than when the pause ends. */
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
    // A broker that is slow to answer is asked less often.
    this.timer = setTimeout(() => this.poll(), Math.max(POLL_MS, 4 * (Date.now() - started)));
  }

  addRates(update) {
    const histories = new Map();
    for (const topic of update.topics) {
      const written = topic.partitions.reduce((sum, p) => sum + (p.latest ?? 0), 0);
      const history = this.histories.get(topic.name) ?? [];
      // Made anew: what was counted before was another topic.
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
    if (response.ok) return { at, broker: { kind: "up" }, topics: await response.json() };
    const problem = await response.json().catch(() => ({}));
    // Nothing of what somebody else saw before is kept.
    if (response.status === 401) return { at, broker: { kind: "signed-out", detail: "sign in" }, topics: [] };
    return { at, broker: { kind: "down", detail: String(problem.detail ?? response.status) } };
  } catch {
    return { at, broker: { kind: "unreachable", detail: "Curlew does not answer" } };
  }
}

/** Records a second just now; null before two answers are there. */
function currentRate(history) {
  const now = history.at(-1);
  const before = history.findLast((point) => now.at - point.at >= RATE_WINDOW_MS) ?? history[0];
  return before === now ? null : ((now.written - before.written) * 1000) / (now.at - before.at);
}

/** Rates between answers as [time, rate]; null where nobody asked for a while. */
function rateHistory(history) {
  const rates = [];
  for (let i = 1; i < history.length; i += 1) {
    const [before, now] = [history[i - 1], history[i]];
    const gap = now.at - before.at > 5 * POLL_MS;
    rates.push([now.at, gap ? null : ((now.written - before.written) * 1000) / (now.at - before.at)]);
  }
  return rates;
}
