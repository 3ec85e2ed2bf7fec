"""Reads records with Confluent's deserializers, to check what Curlew encodes.

Usage: read_encoded.py BOOTSTRAP REGISTRY TOPIC COUNT avro|json|protobuf

Prints {"key":…,"value":…} per record. A key without a schema is text. Messages of Protobuf are those of reading.proto below.
"""

import base64
import datetime
import decimal
import json
import sys
import uuid

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory


def reading():
    """The class of `message Reading { string site = 1; double t = 2; repeated int64 counts = 3; }`."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="reading.proto", syntax="proto3")
    message = file.message_type.add(name="Reading")
    message.field.add(name="site", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    message.field.add(name="t", number=2, type=field.TYPE_DOUBLE, label=field.LABEL_OPTIONAL)
    message.field.add(name="counts", number=3, type=field.TYPE_INT64, label=field.LABEL_REPEATED)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Reading"))


def plain(value):
    """Returns a value that JSON does not have as one that it has."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return json_format.MessageToDict(value)


def main():
    bootstrap, registry, topic, count, kind = sys.argv[1:]
    client = SchemaRegistryClient({"url": registry})
    if kind == "avro":
        deserializer = AvroDeserializer(client)
    elif kind == "json":
        deserializer = JSONDeserializer(None, schema_registry_client=client)
    else:
        deserializer = ProtobufDeserializer(reading(), {"use.deprecated.format": False}, client)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "read-encoded", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    records = consumer.consume(int(count), 30)
    if len(records) < int(count) or any(record.error() for record in records):
        sys.exit(f"{len(records)} records: {[record.error() for record in records]}")
    for record in records:
        key, value = record.key(), record.value()
        if key is not None and key[:1] == b"\0":
            key = deserializer(key, SerializationContext(topic, MessageField.KEY))
        elif key is not None:
            key = key.decode()
        if value is not None:
            value = deserializer(value, SerializationContext(topic, MessageField.VALUE))
        print(json.dumps({"key": key, "value": value}, default=plain))
    consumer.close()


main()
