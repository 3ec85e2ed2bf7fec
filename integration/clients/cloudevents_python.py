"""Sends and reads CloudEvents with an API of PyPI's `cloudevents`, `v1` or `core`, and `kafka-python`.

`API http URL`, `API kafka BOOTSTRAP TOPIC` send the events on stdin; `API read-http URL`, `API read-kafka BOOTSTRAP
TOPIC` print those of partition 0. Each line is `{"attributes": {…}, "json": …}` or `{…, "base64": "…"}`.
"""

import base64
import json
import sys
from datetime import timezone

import requests
from dateutil.parser import isoparse
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

api, verb, address = sys.argv[1:4]
JSON = "application/json"


def given():
    """Yields each event of stdin as attributes and data: a value for JSON, a str for text, otherwise bytes."""
    for line in sys.stdin:
        event = json.loads(line)
        attributes = event["attributes"]
        kind = attributes.get("datacontenttype", "")
        if "json" in event:
            yield attributes, event["json"]
        elif "base64" in event:
            data = base64.b64decode(event["base64"])
            yield attributes, data.decode() if kind.startswith("text/") else data
        else:
            yield attributes, None


def show(attributes, data):
    shown = {"attributes": {}}
    given = {name: value for name, value in attributes.items() if value is not None}
    for name, value in given.items():
        if name == "time":
            time = isoparse(value) if isinstance(value, str) else value
            value = time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        shown["attributes"][name] = value.decode() if isinstance(value, bytes) else str(value)
    if attributes.get("datacontenttype") == JSON:
        shown["json"] = data
    elif data is not None:
        shown["base64"] = base64.b64encode(data.encode() if isinstance(data, str) else data).decode()
    print(json.dumps(shown))


def post(headers, body):
    # `requests` writes texts as Latin-1, and v1 does not percent-encode.
    headers = {name: value.encode() for name, value in headers.items()}
    answer = requests.post(address, headers=headers, data=body, timeout=30)
    assert answer.status_code == 200, answer.text


def named(attributes, way):
    return {**attributes, "id": f"{way}/{attributes['id']}"}


def consumed():
    consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    place = TopicPartition(sys.argv[4], 0)
    consumer.assign([place])
    end = consumer.end_offsets([place])[place]
    consumer.seek_to_beginning()
    while consumer.position(place) < end:
        for records in consumer.poll(timeout_ms=500).values():
            yield from records


def read_events():
    page = requests.get(address, headers={"Accept": "application/cloudevents-batch+json"}, timeout=30)
    assert page.headers["content-type"] == "application/cloudevents-batch+json", page.text
    return [json.dumps(event) for event in page.json()]


class V1:
    def __init__(self):
        from cloudevents.v1 import conversion, kafka
        from cloudevents.v1.http import CloudEvent

        self.http, self.kafka, self.CloudEvent = conversion, kafka, CloudEvent

    def event(self, attributes, data):
        return self.CloudEvent(attributes, data)

    @staticmethod
    def bytes(data):
        return data if isinstance(data, (bytes, str)) else json.dumps(data)

    def http_binary(self, event):
        return self.http.to_binary(event, self.bytes)

    def http_structured(self, event):
        return self.http.to_structured(event)

    def kafka_binary(self, event):
        return self.kafka.to_binary(event, self.bytes)

    def kafka_structured(self, event):
        return self.kafka.to_structured(event)

    def from_json(self, text):
        return self.http.from_json(self.CloudEvent, text)

    def from_kafka(self, headers, key, value):
        message = self.kafka.KafkaMessage(headers=headers, key=key, value=value)
        is_binary = any(name.startswith("ce_") for name in headers)
        if is_binary:
            is_json = headers.get("content-type") == JSON.encode()
            return self.kafka.from_binary(message, data_unmarshaller=json.loads if is_json else lambda data: data)
        return self.kafka.from_structured(message)

    def show(self, event):
        show(dict(event.get_attributes()), event.get_data())


class Core:
    def __init__(self):
        from cloudevents.core.bindings import http, kafka
        from cloudevents.core.formats.json import JSONFormat
        from cloudevents.core.v1.event import CloudEvent

        self.http, self.kafka, self.format, self.CloudEvent = http, kafka, JSONFormat(), CloudEvent

    def event(self, attributes, data):
        return self.CloudEvent({**attributes, "time": isoparse(attributes["time"])}, data)

    def http_binary(self, event):
        message = self.http.to_binary(event, self.format)
        return message.headers, message.body

    def http_structured(self, event):
        message = self.http.to_structured(event, self.format)
        return message.headers, message.body

    def kafka_binary(self, event):
        return self.kafka.to_binary(event, self.format)

    def kafka_structured(self, event):
        return self.kafka.to_structured(event, self.format)

    def from_json(self, text):
        return self.format.read(None, text)

    def from_kafka(self, headers, key, value):
        message = self.kafka.KafkaMessage(headers=headers, key=key, value=value)
        return self.kafka.from_kafka(message, self.format)

    def show(self, event):
        show(event.get_attributes(), event.get_data())


sdk = {"v1": V1, "core": Core}[api]()
if verb == "http":
    for attributes, data in given():
        post(*sdk.http_binary(sdk.event(named(attributes, "http-binary"), data)))
        post(*sdk.http_structured(sdk.event(named(attributes, "http-structured"), data)))
elif verb == "kafka":
    producer = KafkaProducer(bootstrap_servers=address)
    for attributes, data in given():
        for message in (
            sdk.kafka_binary(sdk.event(named(attributes, "kafka-binary"), data)),
            sdk.kafka_structured(sdk.event(named(attributes, "kafka-structured"), data)),
        ):
            key = message.key.encode() if isinstance(message.key, str) else message.key
            producer.send(sys.argv[4], message.value, key=key, headers=list(message.headers.items())).get(timeout=30)
    producer.close()
elif verb == "read-http":
    for text in read_events():
        sdk.show(sdk.from_json(text))
else:
    for record in consumed():
        try:
            sdk.show(sdk.from_kafka(dict(record.headers), record.key, record.value))
        except Exception as error:
            print(f"offset {record.offset}: {error!r}", file=sys.stderr)
