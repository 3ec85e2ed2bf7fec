// Calls everything of npm's `kafka-rest` that needs no consumer instance, and prints the results as a line of JSON:
// kafka_rest.mjs URL TOPIC.
import { createRequire } from "node:module";
import { promisify } from "node:util";

const KafkaRest = createRequire(process.env.CURLEW_CACHE + "/node/")("kafka-rest");
const [url, name] = process.argv.slice(2);
const client = new KafkaRest({ url });
const call = (of, method, ...rest) => promisify(of[method].bind(of))(...rest);

const topic = client.topic(name);
const partition = client.topicPartition(name, 1);
const results = {
  brokers: (await call(client.brokers, "list")).map((broker) => broker.id),
  topics: (await call(client.topics, "list")).map((topic) => topic.name),
  produced: await call(topic, "produce", { key: "k", value: "v", partition: 0 }, { value: Buffer.from([0, 255]), partition: 0 }),
  to_partition: await call(partition, "produce", "one", { key: "k2", value: "two" }),
  topic: (await call(topic, "get")).raw,
  partitions: (await call(topic.partitions, "list")).map((partition) => partition.raw),
  partition: (await call(partition, "get")).raw,
  messages: await call(partition, "messages", { offset: 0, count: 5 }),
  binary_messages: await call(partition, "messages", { offset: 1, format: "binary" }),
  avro_messages: await call(partition, "messages", { offset: 0, count: 2, format: "avro" }),
};
const failed = (of, method, ...rest) => call(of, method, ...rest).then(
  () => null,
  (error) => [error.status, error.data?.error_code, error.message],
);
results.no_topic = await failed(client.topic(name + "-none"), "get");
results.no_partition = await failed(client.topicPartition(name, 9), "get");
results.no_consumers = await failed(client.consumer("group"), "join", {});
process.stdout.write(JSON.stringify(results) + "\n");
