// Browses a topic away from its end: pages of records from an offset, a time or the earliest record.

import { endpoint, problemOf } from "./base.js";
import { Entry } from "./record.js";

const PAGE_RECORDS = 500;

async function fetchText(url, options) {
  const response = await fetch(url, options);
  if (!response.ok) throw new Error(await problemOf(response));
  return response.text();
}

const fetchJson = async (url) => JSON.parse(await fetchText(url));

/** Fetches the topic's partitions with their earliest and latest offsets. */
export const fetchTopic = (topic) => fetchJson(endpoint(`topics/${topic}`));

/** Returns the earliest timestamp of the first records of the partitions, or null if there are no records. */
export async function firstTimestamp(topic) {
  const { partitions } = await fetchTopic(topic);
  const filled = partitions.filter((p) => p.latest > p.earliest);
  const pages = await Promise.all(filled.map((p) => fetchJson(endpoint(`topics/${topic}/partitions/${p.partition}/records?offset=${p.earliest}&limit=1`))));
  const times = pages.flatMap(({ records }) => records.map((record) => record.timestamp)).filter(Number.isFinite);
  return times.length > 0 ? Math.min(...times) : null;
}

/** Resolves `earliest`, an RFC 3339 time or an offset to an offset for each partition, or for the one given. */
export async function resolveOffsets(topic, start, partition) {
  const { partitions } = await fetchTopic(topic);
  const selected = partitions.filter((p) => p.earliest !== null && (partition === null || p.partition === partition));
  if (selected.length === 0) throw new Error(`partition ${partition} does not exist`);
  const offsets = selected.map(async (p) => {
    if (start === "earliest") return [p.partition, p.earliest];
    if (/^\d+$/.test(start)) return [p.partition, Math.max(p.earliest, Math.min(Number(start), p.latest))];
    return [p.partition, (await offsetAtTime(topic, p.partition, start)) ?? p.latest];
  });
  return new Map(await Promise.all(offsets));
}

/** Returns the offset of the partition's first record at or after a time, or null. */
async function offsetAtTime(topic, partition, time) {
  const query = new URLSearchParams({ partition, from: time, until: "end", limit: 1 });
  const text = await fetchText(endpoint(`topics/${topic}/events?${query}`), { headers: { accept: "application/x-ndjson" } });
  const line = text.split("\n").find((l) => l.trim());
  return line ? JSON.parse(line).offset : null;
}

/** Returns the latest entries of a topic, about `count` in all partitions together. */
export async function latestEntries(topic, count) {
  const { partitions } = await fetchTopic(topic);
  const readable = partitions.filter((p) => p.latest !== null && p.latest > p.earliest);
  const share = Math.ceil(count / Math.max(1, readable.length));
  const browser = new RecordBrowser(topic, new Map(readable.map((p) => [p.partition, Math.max(p.earliest, p.latest - share)])));
  await browser.loadLater();
  return browser.entries;
}

/** Loads pages in both directions. Entries are sorted oldest first. */
export class RecordBrowser {
  constructor(topic, offsets) {
    this.topic = topic;
    this.first = new Map(offsets);
    this.next = new Map(offsets);
    this.entries = [];
  }

  /** Loads the next page; returns whether more records follow. */
  async loadLater() {
    const earliest = await this.earliestOffsets();
    const pages = await Promise.all([...this.next].map(([partition, offset]) => this.fetchPage(partition, offset, PAGE_RECORDS, earliest.get(partition))));
    pages.forEach((page) => this.next.set(page.partition, page.next));
    this.merge(pages);
    return pages.some((page) => page.next < page.latest);
  }

  /** Loads the previous page; returns whether older records remain. */
  async loadEarlier() {
    const earliest = await this.earliestOffsets();
    const requests = [...this.first].map(async ([partition, offset]) => {
      const start = Math.max(0, offset - PAGE_RECORDS);
      return start === offset ? null : { ...(await this.fetchPage(partition, start, offset - start, earliest.get(partition))), start, before: offset };
    });
    const pages = (await Promise.all(requests)).filter(Boolean);
    for (const page of pages) {
      page.entries = page.entries.filter((entry) => entry.offset < page.before);
      this.first.set(page.partition, Math.max(page.start, page.earliest));
    }
    this.merge(pages);
    return pages.some((page) => page.start > page.earliest);
  }

  /** Retention may have moved the earliest offsets since the last page. */
  async earliestOffsets() {
    const { partitions } = await fetchTopic(this.topic);
    return new Map(partitions.map((p) => [p.partition, p.earliest]));
  }

  async fetchPage(partition, offset, limit, earliest) {
    const url = endpoint(`topics/${this.topic}/partitions/${partition}/records`);
    const start = Math.max(offset, earliest);
    const page = await fetchJson(`${url}?offset=${start}&limit=${limit}`);
    const entries = page.records.map((record) => new Entry(record.value === null ? "tombstone" : "record", JSON.stringify(record), 0));
    return { partition, entries, next: page.next_offset, latest: page.latest, earliest };
  }

  merge(pages) {
    const entries = [...this.entries, ...pages.flatMap((page) => page.entries)];
    const time = (entry) => entry.summary.timestamp ?? 0;
    entries.sort((a, b) => time(a) - time(b) || a.partition - b.partition || a.offset - b.offset);
    entries.forEach((entry, i) => (entry.serial = i));
    this.entries = entries;
  }
}
