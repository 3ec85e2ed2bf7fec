// Sends and reads CloudEvents with npm's `cloudevents` and `kafkajs`: the same verbs and lines as
// cloudevents_python.py, without its API.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.env.CURLEW_CACHE + "/node/");
const { CloudEvent, HTTP, Kafka: KafkaBinding } = require("cloudevents");
const { Kafka, logLevel } = require("kafkajs");
const [verb, address, topic] = process.argv.slice(2);
const JSON_TYPE = "application/json";

async function given() {
  const events = [];
  for await (const line of createInterface({ input: process.stdin })) {
    const { attributes, json, base64 } = JSON.parse(line);
    let data = json;
    if (base64 !== undefined) {
      data = Buffer.from(base64, "base64");
      if (attributes.datacontenttype.startsWith("text/")) data = data.toString();
    }
    events.push((way) => new CloudEvent({ ...attributes, id: `${way}/${attributes.id}`, ...(data !== undefined && { data }) }));
  }
  return events;
}

function show(event) {
  const { data, data_base64, ...members } = event.toJSON();
  const attributes = {};
  for (const [name, value] of Object.entries(members)) {
    if (value === undefined || value === null) continue;
    attributes[name] = name === "time" ? new Date(value).toISOString() : String(value);
  }
  const line = { attributes };
  if (data_base64 !== undefined) line.base64 = data_base64;
  else if (event.datacontenttype === JSON_TYPE) line.json = data;
  else if (data !== undefined && data !== null) line.base64 = Buffer.from(data).toString("base64");
  console.log(JSON.stringify(line));
}

async function post({ headers, body }) {
  // fetch writes texts as Latin-1, and the SDK does not percent-encode.
  const encoded = Object.entries(headers).map(([name, value]) => [name, Buffer.from(String(value)).toString("latin1")]);
  const answer = await fetch(address, { method: "POST", headers: encoded, body });
  if (answer.status !== 200) throw new Error(await answer.text());
}

const client = () => new Kafka({ brokers: [address], logLevel: logLevel.NOTHING });
switch (verb) {
  case "http": {
    const events = await given();
    for (const event of events) {
      await post(HTTP.binary(event("http-binary")));
      await post(HTTP.structured(event("http-structured")));
    }
    const batch = events.map((event) => event("http-batch").toJSON());
    await post({ headers: { "content-type": "application/cloudevents-batch+json" }, body: JSON.stringify(batch) });
    break;
  }
  case "kafka": {
    const producer = client().producer();
    await producer.connect();
    for (const event of await given()) {
      for (const message of [
        KafkaBinding.binary(event("kafka-binary")),
        KafkaBinding.structured(event("kafka-structured")),
      ]) {
        // The binding leaves JSON data as an object and missing attributes as undefined, which kafkajs does not write.
        const { key, value } = message;
        const headers = Object.fromEntries(Object.entries(message.headers).filter(([, text]) => text !== undefined));
        const text = typeof value === "string" || Buffer.isBuffer(value) || value === undefined ? value : JSON.stringify(value);
        await producer.send({ topic, messages: [{ key, headers, value: text ?? null }] });
      }
    }
    await producer.disconnect();
    break;
  }
  case "read-http": {
    const answer = await fetch(address, { headers: { accept: "application/cloudevents-batch+json" } });
    const events = HTTP.toEvent({ headers: Object.fromEntries(answer.headers), body: await answer.text() });
    for (const event of events) show(event);
    break;
  }
  case "read-kafka": {
    const admin = client().admin();
    await admin.connect();
    const [{ high }] = await admin.fetchTopicOffsets(topic);
    await admin.disconnect();
    const consumer = client().consumer({ groupId: `cloudevents-${process.pid}` });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise((done) =>
      consumer.run({
        eachMessage: async ({ message }) => {
          const headers = Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, value.toString()]));
          try {
            show(KafkaBinding.toEvent({ headers, key: message.key?.toString(), value: message.value }));
          } catch (error) {
            console.error(`offset ${message.offset}: ${error}`);
          }
          if (Number(message.offset) + 1 >= Number(high)) done();
        },
      }),
    );
    await consumer.disconnect();
    break;
  }
  default:
    throw new Error(`unknown verb ${verb}`);
}
