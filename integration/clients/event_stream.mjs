// Follows a stream with the bridge's /client.js and prints every event as a line of JSON, until it is killed.
const [base, path] = process.argv.slice(2);
const module = await fetch(base + "client.js").then((answer) => answer.text());
const { EventStream } = await import("data:text/javascript," + encodeURIComponent(module));
const print = (kind, data, id = "") => process.stdout.write(JSON.stringify({ kind, data, id }) + "\n");

const events = new EventStream(base + path);
for (const kind of ["open", "message", "gap", "problem", "tombstone", "binary"]) {
  events.addEventListener(kind, (event) => print(kind, event.data, event.lastEventId));
}
events.onerror = ({ status, detail, retryIn }) => print(retryIn === null ? "gave up" : "error", `${status} ${detail}`);
events.onend = () => print("end", "");
