"""Confluent's Protobuf serializer and deserializer.

`protobuf_records.py REGISTRY write` prints a line for each record of a table: the message, the encoded bytes in base64, and the
JSON of Google's library. `protobuf_records.py REGISTRY read` reads lines with a message and encoded bytes, and prints the JSON
that the deserializer sees.
"""

import base64
import json
import sys

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import any_pb2, descriptor_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict

KINDS = descriptor_pb2.FieldDescriptorProto


def add_fields(message, *fields):
    """Adds fields: `repeated int32 name = 3`, `.full.Name name = 4`, `optional bool name = 5`."""
    for text in fields:
        words = text.replace("=", " ").split()
        field = message.field.add(name=words[-2], number=int(words[-1]), label=KINDS.LABEL_OPTIONAL)
        if words[0] == "repeated":
            field.label = KINDS.LABEL_REPEATED
        if words[0] == "optional":
            field.proto3_optional = True
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name="_" + field.name)
        kind = words[-3]
        if kind.startswith("enum."):
            field.type, field.type_name = KINDS.TYPE_ENUM, kind.removeprefix("enum")
        elif kind.startswith("."):
            field.type, field.type_name = KINDS.TYPE_MESSAGE, kind
        else:
            field.type = KINDS.Type.Value("TYPE_" + kind.upper())


def add_map(message, parent, name, number, key, value):
    """Adds a map with the generated message of its entries."""
    entry = message.nested_type.add(name="".join(w.capitalize() for w in name.split("_")) + "Entry")
    entry.options.map_entry = True
    add_fields(entry, f"{key} key = 1", f"{value} value = 2")
    add_fields(message, f"repeated {parent}.{entry.name} {name} = {number}")


def files():
    site = descriptor_pb2.FileDescriptorProto(name="shop/site.proto", package="shop", syntax="proto3")
    country = site.enum_type.add(name="Country")
    for number, name in enumerate(["UNKNOWN", "NORWAY"]):
        country.value.add(name=name, number=number)
    add_fields(site.message_type.add(name="Site"), "string site_name = 1", "enum.shop.Country country = 2")

    order = descriptor_pb2.FileDescriptorProto(name="shop/order.proto", package="shop", syntax="proto3")
    order.dependency.append("shop/site.proto")
    order.dependency.extend(f"google/protobuf/{name}.proto" for name in ["any", "duration", "struct", "timestamp", "wrappers"])
    add_fields(order.message_type.add(name="First"), "int32 x = 1")
    message = order.message_type.add(name="Order")
    message.oneof_decl.add(name="payment")
    add_fields(
        message,
        "string card = 1",
        "int64 cash = 2",
        ".shop.Site pay_at = 3",
    )
    for field in message.field:
        field.oneof_index = 0
    line = message.nested_type.add(name="Line")
    add_fields(line, "string sku = 1", "sint64 delta = 2", "repeated .shop.Order.Line sub = 3", "optional bool last = 4")
    add_fields(
        message,
        "int32 i = 10",
        "uint64 big = 11",
        "float f = 12",
        "double d = 13",
        "bytes raw = 14",
        "repeated int64 numbers = 15",
        "repeated .shop.Order.Line lines = 16",
        ".google.protobuf.Timestamp at = 17",
        ".google.protobuf.Duration took = 18",
        ".google.protobuf.Struct free = 19",
        ".google.protobuf.Int32Value wrapped = 20",
        ".google.protobuf.Any detail = 21",
        "optional int32 maybe = 22",
        "enum.shop.Country country = 23",
        "repeated enum.shop.Country countries = 24",
    )
    add_map(message, ".shop.Order", "by_name", 30, "string", ".shop.Site")
    add_map(message, ".shop.Order", "by_number", 31, "sint32", "double")
    add_map(message, ".shop.Order", "by_flag", 32, "bool", "string")
    return [site, order]


pool = descriptor_pool.DescriptorPool()
for module in [any_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2]:
    pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
for file in files():
    pool.AddSerializedFile(file.SerializeToString())
types = {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(n)) for n in ["shop.First", "shop.Order", "shop.Order.Line"]}

TABLE = [
    ("shop.First", {}),
    ("shop.First", {"x": -7}),
    ("shop.Order", {}),
    ("shop.Order", {"i": -(2**31), "big": 2**64 - 1, "f": 0.1, "d": 1e300, "raw": "AP8=", "numbers": [0, -1, 2**53 + 1]}),
    ("shop.Order", {"f": "NaN", "d": "-Infinity"}),
    ("shop.Order", {"card": "", "maybe": 0, "wrapped": 0, "country": "NORWAY", "countries": ["UNKNOWN", 7]}),
    ("shop.Order", {"cash": -5}),
    ("shop.Order", {"payAt": {"siteName": "Tromsø", "country": "NORWAY"}}),
    ("shop.Order", {"lines": [{"sku": "a", "delta": -3, "sub": [{"sku": "b", "sub": [{}]}], "last": False}, {}]}),
    ("shop.Order", {"at": "1969-12-31T23:59:59.5Z", "took": "-1.000001s"}),
    ("shop.Order", {"at": "9999-12-31T23:59:59.999999999Z", "took": "0s"}),
    ("shop.Order", {"free": {"a": [1, "x", None, {"b": True}], "": {}}}),
    ("shop.Order", {"detail": {"@type": "type.googleapis.com/shop.Site", "siteName": "x"}}),
    ("shop.Order", {"detail": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}}),
    ("shop.Order", {"byName": {"": {}, "b": {"siteName": "B"}}, "byNumber": {"-1": 0.5, "0": 0}, "byFlag": {"true": "y", "false": ""}}),
    ("shop.Order.Line", {"sku": "nested"}),
]


def numbers(message, printed):
    """Makes numbers of the 64-bit integers that the JSON mapping prints as strings."""
    wide = [FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64]
    for field in message.DESCRIPTOR.fields:
        value = printed.get(field.json_name)
        if not value:
            continue
        if field.cpp_type in wide:
            printed[field.json_name] = [int(v) for v in value] if field.is_repeated else int(value)
        elif field.message_type is not None and field.message_type.full_name == "shop.Order.Line":
            for inner, inner_printed in zip(getattr(message, field.name), value):
                numbers(inner, inner_printed)
    return printed


def as_dict(message):
    return numbers(message, MessageToDict(message, always_print_fields_with_no_presence=True, descriptor_pool=pool))


registry = SchemaRegistryClient({"url": sys.argv[1]})
if sys.argv[2] == "write":
    for name, given in TABLE:
        message = ParseDict(given, types[name](), descriptor_pool=pool)
        serializer = ProtobufSerializer(types[name], registry)
        encoded = serializer(message, SerializationContext(name, MessageField.VALUE))
        print(json.dumps({"message": name, "encoded": base64.b64encode(encoded).decode(), "json": as_dict(message)}))
else:
    for line in sys.stdin:
        record = json.loads(line)
        # Apicurio cannot serialize a text with imports, which the deserializer would request to migrate between versions.
        deserializer = ProtobufDeserializer(types[record["message"]], {})
        context = SerializationContext(record["message"], MessageField.VALUE)
        print(json.dumps(as_dict(deserializer(base64.b64decode(record["encoded"]), context))))
