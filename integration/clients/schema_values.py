"""PyPI's `confluent-kafka`, with the URL of a schema registry. `write URL` registers schemas, writes values with Confluent's
serializers, reads them with its deserializers, and prints a line for each: the schema, the bytes, and what was read as JSON.
`read URL` reads the bytes of such lines of stdin, and prints the lines with what was read."""

import datetime
import decimal
import json
import math
import sys
import uuid

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext


def record(name, /, **fields):
    fields = [{"name": field, "type": of} for field, of in fields.items()]
    return {"type": "record", "name": name, "namespace": "org.example", "fields": fields}


def logical(base, name, /, **more):
    return {**(base if isinstance(base, dict) else {"type": base}), "logicalType": name, **more}


def fixed(name, size):
    return {"type": "fixed", "name": name, "size": size}


UTC = datetime.timezone.utc
CUSTOMER = record("Customer", name="string", tags={"type": "array", "items": "string"})
LEFT = record("Left", a="int")
RIGHT = record("Right", b=["null", "string"])
DAY = datetime.date(2026, 1, 31)
TIME = datetime.datetime(2026, 1, 31, 8, 0, 0, 123000, tzinfo=UTC)

# What a value is called, its schema, the values, and the schemas that it refers to.
AVRO = [
    ("primitives", record("P", n="null", b="boolean", i="int", l="long", f="float", d="double", y="bytes", s="string"), [
        {"n": None, "b": True, "i": -2147483648, "l": 9223372036854775807, "f": 0.5, "d": 0.1, "y": b"\x00\xffA", "s": "\u00e9\"\\\n\U0001f426"},
        {"n": None, "b": False, "i": 0, "l": -9223372036854775808, "f": -1.0, "d": 1e300, "y": b"", "s": ""},
        {"n": None, "b": False, "i": 1, "l": 9007199254740993, "f": math.inf, "d": -math.inf, "y": b"", "s": ""},
    ], []),
    ("no number", {"type": "double"}, [math.nan], []),
    ("nested", record("N", site=record("Site", at={"type": "array", "items": {"type": "map", "values": "long"}}), none=record("Empty")), [
        {"site": {"at": [{"a": 1, "b c": 2}, {}]}, "none": {}}, {"site": {"at": []}, "none": {}},
    ], []),
    ("optional", record("O", s=["null", "string"], n=["double", "null"], u=["null", "boolean", "long", "string", {"type": "array", "items": ["null", "int"]}]), [
        {"s": None, "n": None, "u": None}, {"s": "a", "n": 1.5, "u": True}, {"s": "", "n": 0.0, "u": "x"}, {"s": None, "n": 0.0, "u": [1, None]},
        {"s": None, "n": 0.0, "u": 1 << 60},
    ], []),
    ("records of a union", record("U", either=[LEFT, RIGHT], all={"type": "map", "values": ["null", "org.example.Left", "org.example.Right"]}), [
        {"either": ("org.example.Right", {"b": "x"}), "all": {"l": ("org.example.Left", {"a": 1}), "n": None}},
    ], []),
    ("recursion", record("List", value="int", next=["null", "List"]), [{"value": 1, "next": {"value": 2, "next": {"value": 3, "next": None}}}], []),
    ("named types", record("E", e={"type": "enum", "name": "Color", "symbols": ["RED", "GREEN"]}, f=fixed("Two", 2), again="Color"), [
        {"e": "GREEN", "f": b"\xff\x00", "again": "RED"},
    ], []),
    ("decimals", record("D", b=logical("bytes", "decimal", precision=20, scale=2), f=logical(fixed("Dec", 8), "decimal", precision=18, scale=6), n=["null", logical("bytes", "decimal", precision=4)]), [
        {"b": decimal.Decimal(b), "f": decimal.Decimal(f), "n": decimal.Decimal(n) if n else None}
        for b, f, n in [("123.45", "-0.000001", "9999"), ("-0.05", "0.000000", None), ("0.00", "999999999999.999999", "-1"), ("-123456789012345678.90", "1.500000", "0"), ("1.28", "-1.280000", "128"), ("-1.28", "0.000128", "-128")]
    ], []),
    ("milliseconds", record("M", d=logical("int", "date"), t=logical("int", "time-millis"), ts=logical("long", "timestamp-millis"), l=logical("long", "local-timestamp-millis")), [
        {"d": DAY, "t": datetime.time(8, 0, 0, 123000), "ts": TIME, "l": TIME.replace(tzinfo=None)},
        {"d": datetime.date(1, 1, 1), "t": datetime.time(23, 59, 59, 999000), "ts": TIME.replace(year=1960), "l": TIME.replace(year=1900, tzinfo=None)},
    ], []),
    ("microseconds", record("I", t=logical("long", "time-micros"), ts=["null", logical("long", "timestamp-micros")], l=logical("long", "local-timestamp-micros")), [
        {"t": datetime.time(0, 0, 0, 1), "ts": TIME.replace(microsecond=1), "l": TIME.replace(tzinfo=None)},
        {"t": datetime.time(12), "ts": None, "l": TIME.replace(year=1, tzinfo=None)},
    ], []),
    ("uuid", record("Id", u=logical("string", "uuid")), [{"u": uuid.UUID(int=0x00112233445566778899aabbccddeeff)}], []),
    ("references", record("Order", customer="org.example.Customer", others={"type": "array", "items": "Customer"}), [
        {"customer": {"name": "a", "tags": ["x"]}, "others": [{"name": "b", "tags": []}]},
    ], [("org.example.Customer", CUSTOMER)]),
    ("a string", {"type": "string"}, ["Hello World", ""], []),
    ("an array", {"type": "array", "items": ["int", "string"]}, [[1, "a", -1], []], []),
]

PERSON = {"type": "object", "title": "Person", "required": ["name"], "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}}}
TEAM = {"type": "object", "title": "Team", "properties": {"people": {"type": "array", "items": {"$ref": "person.json"}}}}
JSON = [
    ("an object", PERSON, [{"name": "\u00e9 \U0001f426", "age": 1}, {"name": ""}], []),
    ("a reference", TEAM, [{"people": [{"name": "a"}, {"name": "b", "age": 2}]}], [("person.json", PERSON)]),
    ("recursion", {"title": "Tree", "type": "object", "properties": {"of": {"type": "array", "items": {"$ref": "#"}}}}, [{"of": [{"of": []}, {}]}], []),
]


def natural(value, digits):
    """Returns what was read as JSON: the form that Curlew promises."""
    again = lambda inner: natural(inner, digits)
    point = lambda micros: "." + f"{micros:06}"[:digits]
    if isinstance(value, tuple):
        return {value[0]: again(value[1])}
    if isinstance(value, dict):
        return {name: again(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [again(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return format(value, "f") if isinstance(value, decimal.Decimal) else str(value)
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None, microsecond=0).isoformat() + point(value.microsecond) + ("Z" if value.tzinfo else "")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.time):
        return value.replace(microsecond=0).isoformat() + point(value.microsecond)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def digits(schema):
    return 6 if "micros" in schema else 3


def reader(kind, name, schema):
    if kind == "AVRO":
        return AvroDeserializer(schema_registry_client=client, return_record_name=name == "records of a union")
    return JSONDeserializer(schema, schema_registry_client=client)


def references_of(listed, kind):
    for reference in listed:
        client.register_schema(reference["name"], Schema(reference["text"], kind))
    versions = [client.get_latest_version(reference["name"]).version for reference in listed]
    return [SchemaReference(r["name"], r["name"], version) for r, version in zip(listed, versions)]


def write(kind, table):
    for name, schema, values, references in table:
        references = [{"name": reference, "text": json.dumps(text)} for reference, text in references]
        context = SerializationContext(f"{kind} {name}".replace(" ", "-"), MessageField.VALUE)
        schema = Schema(json.dumps(schema), kind, references_of(references, kind))
        if kind == "AVRO":
            serializer = AvroSerializer(schema_registry_client=client, schema_str=schema)
        else:
            serializer = JSONSerializer(schema, client, lambda value, _: value)
        deserializer = reader(kind, name, schema)
        for value in values:
            encoded = serializer(value, context)
            print(json.dumps({
                "kind": kind,
                "name": name,
                "schema": schema.schema_str,
                "references": references,
                "encoded": encoded.hex(),
                "value": natural(deserializer(encoded, context), digits(schema.schema_str)),
            }))


verb, url = sys.argv[1:]
client = SchemaRegistryClient.new_client({"url": url})
if verb == "write":
    write("AVRO", AVRO)
    write("JSON", JSON)
else:
    for line in sys.stdin:
        line = json.loads(line)
        context = SerializationContext("t", MessageField.VALUE)
        schema = Schema(line["schema"], line["kind"], references_of(line["references"], line["kind"]))
        value = reader(line["kind"], line["name"], schema)(bytes.fromhex(line["encoded"]), context)
        print(json.dumps({**line, "value": natural(value, digits(line["schema"]))}))
