// An identity provider over HTTPS: `node identity_provider.mjs CERT KEY` prints the URL of its key set, then a token.
import { createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";

const [cert, key] = process.argv.slice(2).map((file) => readFileSync(file));
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const jwk = createPublicKey(privateKey).export({ format: "jwk" });
const keys = JSON.stringify({ keys: [{ ...jwk, kid: "one", use: "sig", alg: "ES256" }] });

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const claims = { sub: "ann", exp: Math.floor(Date.now() / 1000) + 3600, curlew: { produce: ["readings.*"] } };
const signed = `${part({ alg: "ES256", kid: "one" })}.${part(claims)}`;
const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" });

const server = createServer({ cert, key }, (_request, response) => {
  response.setHeader("content-type", "application/json");
  response.end(keys);
});
server.listen(0, "127.0.0.1", () => {
  console.log(`https://localhost:${server.address().port}/jwks`);
  console.log(`${signed}.${signature.toString("base64url")}`);
});
