"""PyPI's `kafka-python`: `produce BOOTSTRAP TOPIC COMPRESSION` sends lines of stdin, `consume BOOTSTRAP TOPIC` prints records."""

import json
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

verb, bootstrap, topic = sys.argv[1:4]
if verb == "produce":
    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type=sys.argv[4])
    for line in sys.stdin:
        record = json.loads(line)
        key = record["key"].encode() if record["key"] is not None else None
        headers = [(name, value.encode()) for name, value in record["headers"]]
        producer.send(topic, record["value"].encode(), key=key, headers=headers).get(timeout=30)
    producer.close()
else:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    places = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
    ends = consumer.end_offsets(places)
    consumer.assign(places)
    consumer.seek_to_beginning()
    while any(consumer.position(place) < end for place, end in ends.items()):
        for records in consumer.poll(timeout_ms=500).values():
            for r in records:
                print(json.dumps({
                    "partition": r.partition,
                    "offset": r.offset,
                    "key": r.key.decode() if r.key is not None else None,
                    "value": r.value.decode() if r.value is not None else None,
                    "headers": [[name, value.decode()] for name, value in r.headers],
                }))
