// An EventSource that reconnects through proxies. The browser's EventSource closes permanently on any status other than 200
// (WHATWG HTML, 9.2.3), such as a proxy's 502 while the bridge restarts. EventStream retries and resumes at its position:
//
//   import { EventStream } from "http://127.0.0.1:8080/client.js";
//   const events = new EventStream("http://127.0.0.1:8080/topics/readings/events");
//   events.onmessage = (event) => console.log(JSON.parse(event.data), event.lastEventId);
//
// It dispatches the events of an EventSource (open, message, tombstone, binary, schema_error, live, gap, problem)
// and two more:
//   error  `status` (0 without a response), `detail`, and `retryIn` in ms; null after a permanent error (401, 403, or
//          another rejection by the bridge itself), when it stops retrying
//   end    the stream is complete (`until`, `limit`)
// It runs in browsers, workers and Node.

const MAX_BACKOFF_MS = 15_000;
/** Caps `Retry-After`: with a longer pause the stream would look dead. */
const MAX_RETRY_AFTER_MS = 300_000;
const TYPES = ["open", "message", "tombstone", "binary", "schema_error", "live", "gap", "problem", "error", "end"];

export class EventStream extends EventTarget {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSED = 2;
  readyState = EventStream.CONNECTING;
  /** The id of the last complete event, with or without data. Passed to a new EventStream, it resumes from there. */
  lastEventId = "";
  #url;
  #options;
  #retry = 2000;
  #isComplete = false;
  #closing = new AbortController();
  #wake = () => {};

  /** `headers` may hold an authorization; `withCredentials` sends cookies to another origin. */
  constructor(url, { headers = {}, withCredentials = false, lastEventId = "" } = {}) {
    super();
    this.#url = new URL(url, globalThis.document?.baseURI ?? globalThis.location);
    if (lastEventId) this.#url.searchParams.set("last_event_id", lastEventId);
    this.#options = { headers: { accept: "text/event-stream", ...headers }, cache: "no-store", signal: this.#closing.signal };
    if (withCredentials) this.#options.credentials = "include";
    for (const type of TYPES) this.addEventListener(type, (event) => this[`on${type}`]?.(event));
    this.#run();
  }

  get url() {
    return this.#url.href;
  }

  close() {
    this.readyState = EventStream.CLOSED;
    this.#closing.abort();
    this.#wake();
  }

  /** Skips the rest of the back-off. */
  retryNow() {
    this.#wake();
  }

  async #run() {
    for (let failures = 0; this.readyState !== EventStream.CLOSED; failures += 1) {
      const outcome = await this.#connect(() => (failures = 0)).catch((error) => ({ status: 0, detail: error.message }));
      if (this.readyState === EventStream.CLOSED) return;
      this.readyState = outcome.isFinal ? EventStream.CLOSED : EventStream.CONNECTING;
      if (outcome.status === 204) return this.#emit(new Event("end"));
      // Jitter keeps clients that lost their connections together from reconnecting together.
      const backoff = Math.min(this.#retry * 2 ** failures, MAX_BACKOFF_MS) * (0.75 + Math.random() / 2);
      const retryIn = outcome.isFinal ? null : Math.max(backoff, Math.min(outcome.retryAfter ?? 0, MAX_RETRY_AFTER_MS));
      this.#emit(Object.assign(new Event("error"), { status: outcome.status, detail: outcome.detail, retryIn }));
      if (retryIn !== null) await this.#wait(retryIn);
    }
  }

  #wait(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => (clearTimeout(timer), resolve());
    });
  }

  /** Reads one response to its end and returns why it ended. */
  async #connect(onOpen) {
    const { headers, ...options } = this.#options;
    // As EventSource sends it. The bridge answers the id of a complete stream with 204.
    const id = this.lastEventId ? { "last-event-id": this.lastEventId } : {};
    const response = await fetch(this.#url, { ...options, headers: { ...headers, ...id } });
    const type = response.headers.get("content-type") ?? "";
    if (response.status !== 200 || !type.startsWith("text/event-stream")) return rejection(response, type);
    onOpen();
    this.#isComplete = false;
    this.readyState = EventStream.OPEN;
    this.#emit(new Event("open"));
    await this.#read(response.body.getReader());
    // The last id of a complete stream ends with "~".
    return this.#isComplete ? { status: 204, isFinal: true } : { status: 200, detail: "the stream ended" };
  }

  async #read(reader) {
    const decoder = new TextDecoder();
    let rest = "";
    let event = { data: [] };
    for (let chunk; !(chunk = await reader.read()).done; ) {
      const lines = decoder.decode(chunk.value, { stream: true }).split("\n");
      lines[0] = rest + lines[0];
      rest = lines.pop();
      for (const line of lines) {
        if (this.readyState === EventStream.CLOSED) return;
        if (line !== "") parseField(event, line);
        else event = this.#dispatch(event);
      }
    }
  }

  /** Only a complete event updates the id, so an event that was cut off is sent again. */
  #dispatch({ type, data, id, retry }) {
    this.#retry = retry ?? this.#retry;
    this.lastEventId = id ?? this.lastEventId;
    this.#isComplete = id?.endsWith("~") ?? this.#isComplete;
    const { lastEventId } = this;
    // Some complete streams end with a frame `event: end`. It is skipped here: `#run` emits `end` for every complete stream.
    if (data.length > 0 && type !== "end") this.#emit(new MessageEvent(type ?? "message", { data: data.join("\n"), lastEventId, origin: this.#url.origin }));
    return { data: [] };
  }

  #emit(event) {
    this.dispatchEvent(event);
  }
}

/** Adds one field to the event; comments are ignored. */
function parseField(event, line) {
  const colon = line.indexOf(":");
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
  if (name === "data") event.data.push(value);
  else if (name === "event") event.type = value;
  else if (name === "id") event.id = value;
  else if (name === "retry" && /^\d+$/.test(value)) event.retry = Number(value);
}

/** Describes a response without a stream. The bridge rejects with a problem (RFC 9457); anything else is from a proxy. */
async function rejection(response, type) {
  const { status } = response;
  const text = await response.text().catch(() => "");
  const isFromBridge = type.startsWith("application/problem+json");
  const isFinal = [204, 401, 403].includes(status) || (isFromBridge && status >= 400 && status < 500 && status !== 408 && status !== 429);
  const retryAfter = Number(response.headers.get("retry-after")) * 1000 || 0;
  return { status, detail: isFromBridge ? JSON.parse(text).detail : `status ${status}: ${text.slice(0, 200)}`, isFinal, retryAfter };
}
