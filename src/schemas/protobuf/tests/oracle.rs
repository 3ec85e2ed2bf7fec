//! The same results as prost-reflect, which keeps whole messages in memory.

use super::{decode, encode, schema, source};
use crate::schemas::protobuf::ProtobufSchema;
use crate::schemas::protobuf::compile::{ROOT, descriptors};
use proptest::prelude::*;
use proptest::strategy::Union;
use prost_reflect::prost::Message;
use prost_reflect::prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, SerializeOptions, Value,
};
use std::sync::LazyLock;

const TABLE: [&str; 4] = [
    r#"syntax = "proto3"; message M { int32 a = 1; sint64 b = 2; fixed32 c = 3; sfixed64 d = 4; float e = 5; double f = 6;
        bool g = 7; string h = 8; bytes i = 9; E j = 10; enum E { ZERO = 0; ONE = 1; NEG = -1; } uint64 k = 1000; }"#,
    r#"syntax = "proto3"; message M { repeated int32 a = 3; repeated string b = 2; repeated M c = 1; optional int32 d = 4;
        oneof o { int32 x = 5; M y = 6; string z = 7; } map<string, M> m = 8; map<sint32, bytes> n = 9; map<bool, E> p = 10;
        enum E { ZERO = 0; ONE = 1; } repeated E q = 11; repeated double r = 12; map<uint64, double> s = 13; }"#,
    r#"syntax = "proto2"; message M { optional int32 a = 3; repeated int32 b = 2; repeated int32 c = 1 [packed = true];
        repeated group G = 4 { optional string g = 1; optional M m = 2; } optional group H = 5 { repeated bool h = 1; }
        extensions 100 to max; } extend M { optional M more = 100; repeated sint32 many = 200; }"#,
    r#"syntax = "proto3"; import "google/protobuf/wrappers.proto"; import "google/protobuf/struct.proto";
        message M { google.protobuf.Int64Value a = 1; google.protobuf.StringValue b = 2; google.protobuf.BytesValue c = 3;
        repeated google.protobuf.DoubleValue d = 4; map<string, google.protobuf.BoolValue> e = 5; M m = 6;
        google.protobuf.ListValue l = 7; google.protobuf.Struct s = 8; repeated google.protobuf.UInt32Value u = 9; }"#,
];

static SCHEMAS: LazyLock<Vec<ProtobufSchema>> = LazyLock::new(|| TABLE.iter().map(|text| schema(text)).collect());

static DESCRIPTORS: LazyLock<Vec<MessageDescriptor>> = LazyLock::new(|| {
    let pool = |text: &&str| descriptors(&source(text, &[])).unwrap();
    let first = |text| pool(text).get_file_by_name(ROOT).unwrap().messages().next().unwrap();
    TABLE.iter().map(first).collect()
});

fn value(kind: &Kind, depth: u32) -> BoxedStrategy<Value> {
    match kind {
        Kind::Double => prop_oneof![any::<f64>(), Just(0.0)].prop_map(Value::F64).boxed(),
        Kind::Float => prop_oneof![any::<f32>(), Just(0.0)].prop_map(Value::F32).boxed(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => prop_oneof![any::<i32>(), Just(0)].prop_map(Value::I32).boxed(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => prop_oneof![any::<i64>(), Just(0)].prop_map(Value::I64).boxed(),
        Kind::Uint32 | Kind::Fixed32 => prop_oneof![any::<u32>(), Just(0)].prop_map(Value::U32).boxed(),
        Kind::Uint64 | Kind::Fixed64 => prop_oneof![any::<u64>(), Just(0)].prop_map(Value::U64).boxed(),
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::String => "\\PC{0,6}".prop_map(Value::String).boxed(),
        Kind::Bytes => prop::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| Value::Bytes(bytes.into())).boxed(),
        Kind::Enum(_) => (-1..3).prop_map(Value::EnumNumber).boxed(),
        Kind::Message(inner) => message(inner.clone(), depth + 1).prop_map(Value::Message).boxed(),
    }
}

fn key(kind: &Kind) -> BoxedStrategy<MapKey> {
    let key = |value| match value {
        Value::I32(value) => MapKey::I32(value),
        Value::I64(value) => MapKey::I64(value),
        Value::U32(value) => MapKey::U32(value),
        Value::U64(value) => MapKey::U64(value),
        Value::Bool(value) => MapKey::Bool(value),
        Value::String(value) => MapKey::String(value),
        other => panic!("{other:?} is no key"),
    };
    value(kind, 0).prop_map(key).boxed()
}

fn message(descriptor: MessageDescriptor, depth: u32) -> BoxedStrategy<DynamicMessage> {
    let empty = DynamicMessage::new(descriptor.clone());
    if depth > 3 {
        return Just(empty).boxed();
    }
    if descriptor.full_name() == "google.protobuf.Value" {
        // An empty one has no JSON form.
        return value(&Kind::String, 0).prop_map(move |text| with(&empty, &[("string_value", text)])).boxed();
    }
    let mut fields = Vec::new();
    for field in descriptor.fields() {
        let most = if depth > 1 { 1 } else { 3 };
        let values = if field.is_map() {
            let entry = field.kind().as_message().unwrap().clone();
            let (keys, values) =
                (key(&entry.map_entry_key_field().kind()), value(&entry.map_entry_value_field().kind(), depth));
            prop::collection::hash_map(keys, values, 0..most).prop_map(Value::Map).boxed()
        } else if field.is_list() {
            prop::collection::vec(value(&field.kind(), depth), 0..most).prop_map(Value::List).boxed()
        } else {
            value(&field.kind(), depth)
        };
        let name = field.name().to_owned();
        fields.push(values.prop_map(move |value| (name.clone(), value)).boxed());
    }
    let chosen = prop::collection::vec(Union::new(fields), 0..6);
    chosen
        .prop_map(move |fields| {
            let fields: Vec<(&str, Value)> =
                fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            with(&empty, &fields)
        })
        .boxed()
}

fn with(empty: &DynamicMessage, fields: &[(&str, Value)]) -> DynamicMessage {
    let mut message = empty.clone();
    for (name, value) in fields {
        message.set_field_by_name(name, value.clone());
    }
    message
}

fn any_message() -> impl Strategy<Value = (usize, DynamicMessage)> {
    (0..TABLE.len()).prop_flat_map(|row| message(DESCRIPTORS[row].clone(), 0).prop_map(move |message| (row, message)))
}

fn expected(message: &DynamicMessage) -> serde_json::Value {
    let options = SerializeOptions::new().stringify_64_bit_integers(false).skip_default_fields(false);
    let mut json = Vec::new();
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options).unwrap();
    serde_json::from_slice(&json).unwrap()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&[0], message].concat()
}

/// Whether every map of a message, and of the messages in it, has the wire type of maps.
fn has_only_delimited_maps(descriptor: &MessageDescriptor, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let Ok((number, wire_type)) = decode_key(&mut bytes) else { return false };
        let field = descriptor.get_field(number);
        if field.as_ref().is_some_and(FieldDescriptor::is_map) && wire_type != WireType::LengthDelimited {
            return false;
        }
        if wire_type != WireType::LengthDelimited {
            if skip_field(wire_type, number, &mut bytes, DecodeContext::default()).is_err() {
                return false;
            }
            continue;
        }
        let length = decode_varint(&mut bytes).ok().and_then(|length| usize::try_from(length).ok());
        let Some((content, rest)) = length.and_then(|length| bytes.split_at_checked(length)) else { return false };
        bytes = rest;
        if let Some(Kind::Message(of)) = field.map(|field| field.kind())
            && !has_only_delimited_maps(&of, content)
        {
            return false;
        }
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn json_is_that_of_the_reference((row, message) in any_message()) {
        let schema = &SCHEMAS[row];
        let json = decode(schema, &framed(&message.encode_to_vec())).unwrap();
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), expected(&message), "{}", json);
    }

    #[test]
    fn a_message_survives_json((row, message) in any_message()) {
        let schema = &SCHEMAS[row];
        let json = decode(schema, &framed(&message.encode_to_vec())).unwrap();
        let encoded = encode(schema, &json).unwrap();
        prop_assert_eq!(decode(schema, &encoded).unwrap(), json.clone());
        let read = DynamicMessage::decode(message.descriptor(), &encoded[1..]).unwrap();
        prop_assert_eq!(expected(&read), expected(&message));
    }

    #[test]
    fn damaged_bytes_have_the_json_of_the_reference_or_none(
        (row, message) in any_message(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let schema = &SCHEMAS[row];
        let mut bytes = message.encode_to_vec();
        bytes.extend(message.encode_to_vec());
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let ours = decode(schema, &framed(&bytes));
        // It rejects fields with another wire type, which Google's libraries and Curlew take as unknown. But it reads maps
        // whatever their wire type is.
        let read = DynamicMessage::decode(message.descriptor(), &*bytes);
        if let Ok(read) = read && has_only_delimited_maps(&message.descriptor(), &bytes) {
            let json = serde_json::from_str::<serde_json::Value>(&ours.unwrap()).unwrap();
            prop_assert_eq!(json, expected(&read));
        }
    }
}
