"""Produces with PyPI's `kafka-bridge-client`, and prints the results as JSON: kafka_bridge_producer.py URL TOPIC."""

import asyncio
import json
import sys

from kafka_bridge_client import KafkaBridgeConsumer, KafkaBridgeProducer, Message
from kafka_bridge_client.exceptions import ConsumerNotFound, ValidationError

url, topic = sys.argv[1:]
producer = KafkaBridgeProducer(url, timeout=30)
results = {
    "one": producer.send(topic, Message(key="a", value="text")),
    "several": producer.sends(topic, [Message(key="b", value="one"), Message(key=None, value={"n": 2})]),
    "binary": producer.send(topic, Message(key="c", value=b"\x00\xff"), binary=True),
}
try:
    producer.send(topic + " not a name", Message(key="a", value="text"))
except ValidationError:
    results["invalid"] = True
consumer = KafkaBridgeConsumer(
    topic,
    bootstrap_server=url,
    group_id="group",
    auto_offset_reset="earliest",
    enable_auto_commit=False,
    consumer_name="one",
)
try:
    asyncio.run(consumer.delete_consumer_instance())
except ConsumerNotFound:
    results["no_consumers"] = True
print(json.dumps(results))
