"""The Flask way to send a topic to browsers: one Kafka consumer for each stream."""

import os

from flask import Flask, Response
from kafka import KafkaConsumer, TopicPartition

app = Flask(__name__)


@app.get("/topics/<topic>/events")
def events(topic):
    consumer = KafkaConsumer(
        bootstrap_servers=os.environ["BOOTSTRAP"],
        group_id=None,
        enable_auto_commit=False,
        fetch_min_bytes=1,
        fetch_max_wait_ms=500,
    )
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_end(partition)
    consumer.position(partition)

    def frames():
        try:
            yield ": hi\n\n"
            while True:
                # What came together is written together.
                came = consumer.poll(timeout_ms=1000).get(partition, [])
                if came:
                    yield "".join(f"data: {r.value.decode()}\nid: {r.offset}\n\n" for r in came)
        finally:
            consumer.close()

    return Response(frames(), mimetype="text/event-stream")
