// Records in the stream's `format=record`, parsed lazily.

const LOCATION = /^\{"topic":"([A-Za-z0-9._-]+)","partition":(\d+),"offset":(\d+)/;

/** Returns topic, partition and offset from the start of the text, without parsing the JSON. */
export function locationOf(data) {
  const match = LOCATION.exec(data);
  return match && { topic: match[1], partition: Number(match[2]), offset: Number(match[3]) };
}

/** An entry of the list (record, tombstone or gap): the raw JSON text, parsed on demand. */
export class Entry {
  constructor(kind, data, serial) {
    this.kind = kind;
    this.data = data;
    this.serial = serial;
    const location = locationOf(data);
    this.partition = location?.partition ?? 0;
    this.offset = location?.offset ?? 0;
  }

  parse() {
    try {
      return JSON.parse(this.data);
    } catch {
      return { value: this.data, key: null, headers: [], timestamp: null };
    }
  }

  /** Key, value and timestamp for one row; cached, because rows are drawn again on every scroll. */
  get summary() {
    this.summaryLine ??= this.kind === "gap" ? summarizeGap(JSON.parse(this.data)) : summarizeRecord(this.parse());
    return this.summaryLine;
  }
}

function summarizeGap(gap) {
  const lost = gap.to - gap.from;
  const what = gap.reason === "recreated"
    ? "the topic was deleted and recreated; reading from its beginning"
    : gap.reason === "truncated"
      ? `the log was truncated; continuing at offset ${gap.to}`
      : gap.reason === "skipped"
        ? `${lost} records (offsets ${gap.from} to ${gap.to - 1}) were skipped by “Jump to now”`
        : `${lost} offsets (${gap.from} to ${gap.to - 1}) were deleted by retention before they were read`;
  return { key: "", text: what, timestamp: null };
}

const MAX_SUMMARY_CHARACTERS = 300;

function summarizeRecord(record) {
  return { key: textOf(record.key), text: valueText(record).slice(0, MAX_SUMMARY_CHARACTERS), timestamp: record.timestamp };
}

/** Returns a key or a value as text: strings unchanged, other values as JSON. */
export function textOf(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Returns the value of the last header with a name, as /series reads it, or null. */
export function headerOf({ headers }, name) {
  return headers?.findLast((header) => header.name === name)?.value ?? null;
}

/** Says that a value was not decoded. The registry may answer again by the time this is read. */
export function notDecoded(error) {
  return `not decoded: ${error}`;
}

function valueText(record) {
  if (record.schema_error) return notDecoded(record.schema_error);
  if (record.encoding === "base64") return `${decodedLength(record.value)} bytes, base64 ${record.value}`;
  return record.value === null ? "null" : textOf(record.value);
}

export function decodedLength(base64) {
  return (base64.length / 4) * 3 - (base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0);
}

/** Returns the value indented, with numbers exactly as sent if the browser supports `JSON.rawJSON`. */
export function prettyValue(data) {
  const exact = (key, value, context) =>
    typeof value === "number" && context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
  const record = JSON.parse(data, exact);
  if (record.encoding === "base64") return record.value;
  return typeof record.value === "string" ? record.value : JSON.stringify(record.value, null, 2);
}
