"""Confluent's Python client with its Avro serializers. `consume BROKER REGISTRY TOPIC N` prints the JSON of the first N values;
`produce BROKER REGISTRY TOPIC N` writes N values like the JSON object in standard input, by the latest schema of the topic."""

import json
import sys

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

command, broker, registry, topic, count = sys.argv[1:]
registry = SchemaRegistryClient({"url": registry})
context = SerializationContext(topic, MessageField.VALUE)


def consume(left):
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "bench", "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([topic])
    deserialize = AvroDeserializer(registry)
    while left > 0:
        for message in consumer.consume(10_000, timeout=1.0)[:left]:
            print(json.dumps(deserialize(message.value(), context), default=str))
            left -= 1


def produce(left):
    value = json.load(sys.stdin)
    serialize = AvroSerializer(registry, conf={"auto.register.schemas": False, "use.latest.version": True})
    producer = Producer({"bootstrap.servers": broker, "acks": "all", "linger.ms": 5, "queue.buffering.max.messages": 1_000_000})
    for sent in range(left):
        producer.produce(topic, serialize(value, context))
        if sent % 1_000 == 0:
            producer.poll(0)
    producer.flush()


{"consume": consume, "produce": produce}[command](int(count))
