// An EventSource that survives proxies. The browser's own ends for good at any answer but 200 (WHATWG HTML, 9.2.3), such as
// the 502 of a proxy while the bridge behind it restarts. This one comes back where it was:
//
//   import { EventStream } from "http://127.0.0.1:8080/client.js";
//   const events = new EventStream("http://127.0.0.1:8080/topics/readings/events");
//   events.onmessage = (event) => console.log(JSON.parse(event.data), event.lastEventId);
//
// Events are those of EventSource (open, message, tombstone, binary, gap, problem), and:
//   error  with `status` (0: no answer), `detail` and `retryIn` in ms; null: it has given up (a 401, 403, or another
//          refusal by the bridge itself, which would be the same the next time)
//   end    the stream is complete (until, limit)
// It runs in browsers, workers and Node.

const MAX_BACKOFF_MS = 15_000;
/** Of a `Retry-After`: a later one would be a stream that seems to be dead. */
const MAX_RETRY_AFTER_MS = 300_000;
const TYPES = ["open", "message", "tombstone", "binary", "gap", "problem", "error", "end"];

export class EventStream extends EventTarget {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSED = 2;
  readyState = EventStream.CONNECTING;
  /** The cursor of the last whole event, also of one without data. As an option of a new EventStream it resumes there. */
  lastEventId = "";
  #url;
  #options;
  #retry = 2000;
  #isComplete = false;
  #closing = new AbortController();
  #wake = () => {};

  /** `headers`, for instance with an authorization; `withCredentials` sends cookies to another origin. */
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

  /** Ends the pause before the next attempt. */
  retryNow() {
    this.#wake();
  }

  async #run() {
    for (let failures = 0; this.readyState !== EventStream.CLOSED; failures += 1) {
      const outcome = await this.#connect(() => (failures = 0)).catch((error) => ({ status: 0, detail: error.message }));
      if (this.readyState === EventStream.CLOSED) return;
      this.readyState = outcome.isFinal ? EventStream.CLOSED : EventStream.CONNECTING;
      if (outcome.status === 204) return this.#emit(new Event("end"));
      // Spread, so that clients that were cut together do not come back together.
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

  /** Reads one answer to its end; why there was no more. */
  async #connect(onOpen) {
    const { headers, ...options } = this.#options;
    // As EventSource sends it: the answer to the header of a stream that is complete is 204.
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

  /** An event counts once it is whole, and so does its id: what was cut inside it is sent again. */
  #dispatch({ type, data, id, retry }) {
    this.#retry = retry ?? this.#retry;
    this.lastEventId = id ?? this.lastEventId;
    this.#isComplete = id?.endsWith("~") ?? this.#isComplete;
    const { lastEventId } = this;
    // `event: end` is the last frame of some complete streams; `end` comes once, for all of them, when the stream is over.
    if (data.length > 0 && type !== "end") this.#emit(new MessageEvent(type ?? "message", { data: data.join("\n"), lastEventId, origin: this.#url.origin }));
    return { data: [] };
  }

  #emit(event) {
    this.dispatchEvent(event);
  }
}

/** One field of an event; a comment is passed over. */
function parseField(event, line) {
  const colon = line.indexOf(":");
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
  if (name === "data") event.data.push(value);
  else if (name === "event") event.type = value;
  else if (name === "id") event.id = value;
  else if (name === "retry" && /^\d+$/.test(value)) event.retry = Number(value);
}

/** What an answer without a stream says. The bridge's own refusals are problems (RFC 9457); others are of what is in between. */
async function rejection(response, type) {
  const { status } = response;
  const text = await response.text().catch(() => "");
  const isFromBridge = type.startsWith("application/problem+json");
  const isFinal = [204, 401, 403].includes(status) || (isFromBridge && status >= 400 && status < 500 && status !== 408 && status !== 429);
  const retryAfter = Number(response.headers.get("retry-after")) * 1000 || 0;
  return { status, detail: isFromBridge ? JSON.parse(text).detail : `status ${status}: ${text.slice(0, 200)}`, isFinal, retryAfter };
}
