// An authorization server over HTTPS: `node token_server.mjs CERT KEY TOKEN` issues TOKEN to every client, and prints
// its port.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";

const [cert, key] = process.argv.slice(2, 4).map((file) => readFileSync(file));
const answer = JSON.stringify({ access_token: process.argv[4], token_type: "Bearer", expires_in: 3600 });

const server = createServer({ cert, key }, (_request, response) => {
  response.setHeader("content-type", "application/json");
  response.end(answer);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
