// Node's HTTP/2 client: fifty streams on one connection over TLS.
import { connect } from "node:http2";

const client = connect(process.argv[2]);
const open = () =>
  new Promise((resolve, reject) => {
    const request = client.request({ ":path": "/topics/t/events?from=earliest", accept: "text/event-stream" });
    let seen = "";
    request.on("error", reject);
    request.on("data", (chunk) => {
      seen += chunk;
      if (seen.includes("data: hello\n")) resolve(request);
    });
  });
const streams = await Promise.all(Array.from({ length: 50 }, open));
console.log(`${client.alpnProtocol} ${streams.length} streams, each with hello`);
client.destroy();
