// The bridge's own /client.js on a stream: every event as one line of JSON. Runs until it is killed.
const [base, path] = process.argv.slice(2);
const module = await fetch(base + "client.js").then((answer) => answer.text());
const { EventStream } = await import("data:text/javascript," + encodeURIComponent(module));
const tell = (kind, data, id = "") => process.stdout.write(JSON.stringify({ kind, data, id }) + "\n");

const events = new EventStream(base + path);
for (const kind of ["open", "message", "gap", "problem", "tombstone", "binary"]) {
  events.addEventListener(kind, (event) => tell(kind, event.data, event.lastEventId));
}
events.onerror = ({ status, detail, retryIn }) => tell(retryIn === null ? "gave up" : "error", `${status} ${detail}`);
events.onend = () => tell("end", "");
