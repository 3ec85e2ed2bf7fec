// Follows a stream with npm's `eventsource` and prints every event as a line of JSON, until it is killed.
import { createRequire } from "node:module";

const { EventSource } = createRequire(process.env.CURLEW_CACHE + "/node/")("eventsource");
const source = new EventSource(process.argv[2]);
const print = (event) =>
  process.stdout.write(JSON.stringify({ kind: event.type, data: event.data, id: event.lastEventId }) + "\n");

for (const kind of ["message", "gap", "problem", "tombstone", "binary"]) source.addEventListener(kind, print);
source.addEventListener("error", (event) => {
  process.stderr.write(`${event.code ?? ""} ${event.message ?? "cut"}\n`);
  if (source.readyState === EventSource.CLOSED) process.exit(1);
});
