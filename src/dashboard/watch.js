// All topics with their offsets, asked for every two seconds for all tabs together, and what the numbers
// say over time: records a second, and the line of the last minutes.

import { endpoint } from "./base.js";

const EVERY_MS = 2000;
const KEPT = 150;
/** A rate is taken over about this long, so that it does not jump with every answer. */
const RATE_MS = 4000;

export class Watch {
  constructor(onNews) {
    this.onNews = onNews;
    this.running = false;
    this.histories = new Map();
    this.last = null;
  }

  /** Only while somebody looks. */
  run(wanted) {
    if (wanted === this.running) return;
    this.running = wanted;
    if (wanted) this.ask();
    else clearTimeout(this.timer);
  }

  /** Asks now rather than when the pause ends. */
  hurry() {
    if (!this.running) return;
    clearTimeout(this.timer);
    this.ask();
  }

  tellLast(send) {
    if (this.last) send({ type: "topics", ...this.last });
  }

  async ask() {
    const started = Date.now();
    const news = await look();
    if (news.topics) this.remember(news);
    this.last = news.topics ? news : { ...this.last, ...news };
    if (!this.running) return;
    this.onNews(this.last);
    clearTimeout(this.timer);
    // A broker that is slow to answer is asked less often.
    this.timer = setTimeout(() => this.ask(), Math.max(EVERY_MS, 4 * (Date.now() - started)));
  }

  remember(news) {
    const histories = new Map();
    for (const topic of news.topics) {
      const written = topic.partitions.reduce((sum, p) => sum + (p.latest ?? 0), 0);
      const history = this.histories.get(topic.name) ?? [];
      // Made anew: what was counted before was another topic.
      if (history.length > 0 && written < history.at(-1).written) history.length = 0;
      history.push({ at: news.at, written });
      if (history.length > KEPT) history.shift();
      histories.set(topic.name, history);
      topic.written = written;
      topic.rate = rateOf(history);
      topic.line = lineOf(history);
    }
    this.histories = histories;
  }
}

async function look() {
  const at = Date.now();
  try {
    const answer = await fetch(endpoint("topics?offsets=true"));
    if (answer.ok) return { at, broker: { kind: "up" }, topics: await answer.json() };
    const problem = await answer.json().catch(() => ({}));
    // Nothing of what somebody else saw before is kept.
    if (answer.status === 401) return { at, broker: { kind: "locked", said: "sign in" }, topics: [] };
    return { at, broker: { kind: "down", said: String(problem.detail ?? answer.status) } };
  } catch {
    return { at, broker: { kind: "unreachable", said: "Curlew does not answer" } };
  }
}

/** Records a second just now; null before two answers are there. */
function rateOf(history) {
  const now = history.at(-1);
  const before = history.findLast((point) => now.at - point.at >= RATE_MS) ?? history[0];
  return before === now ? null : ((now.written - before.written) * 1000) / (now.at - before.at);
}

/** Rates between answers as [time, rate]; null where nobody asked for a while. */
function lineOf(history) {
  const line = [];
  for (let i = 1; i < history.length; i += 1) {
    const [before, now] = [history[i - 1], history[i]];
    const gap = now.at - before.at > 5 * EVERY_MS;
    line.push([now.at, gap ? null : ((now.written - before.written) * 1000) / (now.at - before.at)]);
  }
  return line;
}
