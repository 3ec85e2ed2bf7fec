// Records of another place of the log than its end: pages from an offset, a time or the beginning.

import { endpoint } from "./base.js";
import { Entry } from "./record.js";

const PAGE = 500;

async function json(url, options) {
  const answer = await fetch(url, options);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(String(body.detail ?? answer.status));
  return body;
}

/** The topic's partitions with their ends. */
export const describe = (topic) => json(endpoint(`topics/${topic}`));

/** The next offset of each partition at a place: `earliest`, an RFC 3339 time, or a number. */
export async function placesOf(topic, at, only) {
  const { partitions } = await describe(topic);
  const chosen = partitions.filter((p) => p.earliest !== null && (only === null || p.partition === only));
  if (chosen.length === 0) throw new Error(`there is no partition ${only}`);
  const places = chosen.map(async (p) => {
    if (at === "earliest") return [p.partition, p.earliest];
    if (/^\d+$/.test(at)) return [p.partition, Math.max(p.earliest, Math.min(Number(at), p.latest))];
    return [p.partition, (await firstSince(topic, p.partition, at)) ?? p.latest];
  });
  return new Map(await Promise.all(places));
}

/** The offset of a partition's first record at or after a time. */
async function firstSince(topic, partition, time) {
  const query = new URLSearchParams({ partition, from: time, until: "end", limit: 1 });
  const answer = await fetch(endpoint(`topics/${topic}/events?${query}`), { headers: { accept: "application/x-ndjson" } });
  const text = await answer.text();
  if (!answer.ok) throw new Error(String(JSON.parse(text).detail));
  const line = text.split("\n").find((l) => l.trim());
  return line ? JSON.parse(line).offset : null;
}

/** Pages in both directions; entries oldest first. */
export class Browsing {
  constructor(topic, places) {
    this.topic = topic;
    this.from = new Map(places);
    this.to = new Map(places);
    this.entries = [];
  }

  /** Reads on; true while there may be more. */
  async later() {
    const pages = await Promise.all([...this.to].map(([partition, offset]) => this.page(partition, offset, PAGE)));
    pages.forEach((page) => this.to.set(page.partition, page.next));
    this.merge(pages);
    return pages.some((page) => page.next < page.latest);
  }

  /** Reads back; true while there may be more. */
  async earlier() {
    const asked = [...this.from].map(async ([partition, offset]) => {
      const start = Math.max(0, offset - PAGE);
      return start === offset ? null : { ...(await this.page(partition, start, offset - start)), start, before: offset };
    });
    const pages = (await Promise.all(asked)).filter(Boolean);
    for (const page of pages) {
      page.entries = page.entries.filter((entry) => entry.offset < page.before);
      this.from.set(page.partition, Math.max(page.start, page.earliest));
    }
    this.merge(pages);
    return pages.some((page) => page.start > page.earliest);
  }

  async page(partition, offset, limit) {
    const url = endpoint(`topics/${this.topic}/partitions/${partition}/records`);
    const { earliest } = (await describe(this.topic)).partitions.find((p) => p.partition === partition);
    const start = Math.max(offset, earliest);
    const answer = await fetch(`${url}?offset=${start}&limit=${limit}`);
    const text = await answer.text();
    if (!answer.ok) throw new Error(String(JSON.parse(text).detail));
    const page = JSON.parse(text);
    const entries = page.records.map((record) => new Entry(record.value === null ? "tombstone" : "record", JSON.stringify(record), 0));
    return { partition, entries, next: page.next_offset, latest: page.latest, earliest };
  }

  merge(pages) {
    const all = [...this.entries, ...pages.flatMap((page) => page.entries)];
    const time = (entry) => entry.summary.timestamp ?? 0;
    all.sort((a, b) => time(a) - time(b) || a.partition - b.partition || a.offset - b.offset);
    all.forEach((entry, i) => (entry.serial = i));
    this.entries = all;
  }
}
