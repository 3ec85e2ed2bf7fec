// npm's `eventsource` on a stream: every event as one line of JSON. Runs until it is killed.
import { createRequire } from "node:module";

const { EventSource } = createRequire(process.env.CURLEW_CACHE + "/node/")("eventsource");
const source = new EventSource(process.argv[2]);
const tell = (event) =>
  process.stdout.write(JSON.stringify({ kind: event.type, data: event.data, id: event.lastEventId }) + "\n");

for (const kind of ["message", "gap", "problem", "tombstone", "binary"]) source.addEventListener(kind, tell);
source.addEventListener("error", (event) => {
  process.stderr.write(`${event.code ?? ""} ${event.message ?? "cut"}\n`);
  if (source.readyState === EventSource.CLOSED) process.exit(1);
});
