use super::{decode, encode, refused, schema};
use crate::schemas::mismatch::DecodeError;
use crate::schemas::protobuf::ProtobufSchema;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::FileDescriptorProto;
use std::time::{Duration, Instant};

const NESTED: &str = r#"syntax = "proto3"; import "google/protobuf/struct.proto"; import "google/protobuf/any.proto";
    message M { M m = 1; repeated int32 r = 2; map<string, M> s = 3; google.protobuf.Value v = 4; google.protobuf.Any a = 5;
    repeated M l = 6; }"#;

/// Half of what the threads of Curlew have.
fn on_a_small_stack(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(1 << 20).spawn_scoped(scope, work).unwrap().join().unwrap();
    });
}

/// `depth` messages of field `number` inside each other.
fn nested(number: u8, depth: usize) -> Vec<u8> {
    let mut message = Vec::new();
    for _ in 0..depth {
        let mut outer = vec![number << 3 | 2];
        crate::schemas::protobuf::wire::put_varint(&mut outer, message.len() as u64);
        outer.append(&mut message);
        message = outer;
    }
    message.insert(0, 0);
    message
}

#[test]
fn nesting_is_bounded_both_ways() {
    on_a_small_stack(|| {
        let schema = schema(NESTED);
        assert!(decode(&schema, &nested(1, 99)).is_ok());
        for (number, depth) in [(1, 100), (1, 100_000), (6, 1_000)] {
            let error = decode(&schema, &nested(number, depth)).unwrap_err();
            assert_eq!(error, "messages are nested more than 100 deep");
        }
        let groups = [&[0][..], &[0x3b; 100_000]].concat();
        assert_eq!(decode(&schema, &groups).unwrap_err(), "messages are nested more than 100 deep");

        let objects =
            |name: &str, depth| format!("{}{{}}{}", format!("{{\"{name}\":").repeat(depth), "}".repeat(depth));
        assert!(encode(&schema, &objects("m", 99)).is_ok());
        for json in [objects("m", 100), objects("m", 100_000), format!("{{\"v\":{}", "[".repeat(100_000))] {
            assert!(encode(&schema, &json).is_err());
        }
        let any = |depth| {
            let start = r#"{"@type":"a/google.protobuf.Any","value":"#;
            format!("{{\"a\":{}{{}}{}}}", start.repeat(depth), "}".repeat(depth))
        };
        let encoded = encode(&schema, &any(90)).unwrap();
        assert!(decode(&schema, &encoded).is_ok());
        assert!(encode(&schema, &any(100)).is_err());
        assert!(encode(&schema, &any(100_000)).is_err());
    });
}

#[test]
fn deep_schemas_are_refused_on_a_small_stack() {
    on_a_small_stack(|| {
        let deep = |start: &str, depth| format!("syntax = \"proto2\"; {}{}", start.repeat(depth), "}".repeat(depth));
        assert!(refused(&deep("message M { ", 10_000)).contains("recursion limit"));
        refused(&deep("message M { optional group G = 1 { ", 20_000));
        // Custom options are dropped.
        for option in ["(a)", "java_package", "features"] {
            let deep = format!("option {option} = {}{};", "{ a ".repeat(100_000), "}".repeat(100_000));
            let _ = ProtobufSchema::parse(&super::source(&deep, &[]));
        }
        refused(&format!("option (a) = {};", "{ a: ".repeat(100_000)));
        refused(&"message".repeat(140_000));
        refused(&"/*".repeat(400_000));
        refused(&format!("message M {{ optional {} a = 1; }}", "a.".repeat(400_000)));
        refused(&"(".repeat(1 << 20));
        refused(&"\"".repeat(1 << 20));
        refused(&"[".repeat(1 << 20));
        refused(&"é".repeat(1 << 19));
    });
}

/// A serialized descriptor, which no parser of texts has checked.
fn descriptor() -> Vec<u8> {
    let text = r#"syntax = "proto3"; package p; import "google/protobuf/struct.proto"; message M { map<string, N> m = 1;
        optional int32 o = 2; oneof e { N n = 3; E x = 4; } repeated int32 r = 5; google.protobuf.Value v = 6;
        message N { repeated E y = 1; } } enum E { A = 0; B = 1; }"#;
    let file = protox::file::File::from_source("a.proto", text).unwrap();
    FileDescriptorProto::from(file).encode_to_vec()
}

#[test]
fn a_descriptor_with_entries_that_are_no_map_is_parsed() {
    let mut file = FileDescriptorProto::decode(&*descriptor()).unwrap();
    // The generated message of the map, without its key and its value.
    let entry = file.message_type[0].nested_type.iter_mut().find(|nested| nested.options.is_some()).unwrap();
    entry.field.clear();
    let _ = ProtobufSchema::parse(&super::source(&STANDARD.encode(file.encode_to_vec()), &[]));
}

#[test]
fn large_schemas_take_bounded_time() {
    let many = |one: &dyn Fn(usize) -> String| {
        let mut text = "syntax = \"proto3\";\n".to_owned();
        for index in 0.. {
            let next = one(index);
            if text.len() + next.len() > 1 << 18 {
                return text;
            }
            text.push_str(&next);
        }
        text
    };
    let in_message = |text: String| format!("{}}}", text.replacen('\n', "message M {", 1));
    let rows = [
        many(&|index| format!("message M{index} {{ M{index} m = 1; }}\n")),
        in_message(many(&|index| format!("M f{index} = {};", index + 20_000))),
        in_message(many(&|index| format!("map<int32,M> f{index} = {};", index + 20_000))),
        in_message(many(&|index| format!("oneof o{index} {{ M f{index} = {}; }}", index + 20_000))),
        in_message(many(&|index| format!("optional int32 f{index} = {};", index + 20_000))),
        format!("{}}}", many(&|index| format!("V{index} = {index};")).replacen('\n', "enum E {", 1)),
        in_message(many(&|index| format!("Missing f{index} = {};", index + 20_000))),
        in_message(many(&|_| "int32 a = 1;".to_owned())),
        in_message(many(&|index| format!("reserved {};", index + 1))),
        many(&|_| "?".to_owned()),
        many(&|_| "message M {".to_owned()),
        many(&|_| "import \"a\";".to_owned()),
    ];
    for text in rows {
        let start = Instant::now();
        let _ = ProtobufSchema::parse(&super::source(&text, &[]));
        let took = start.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}: {}", &text[..60]);
    }
}

#[test]
fn json_has_at_most_the_bytes_that_are_allowed() {
    let schema = schema(NESTED);
    let most = |encoded: &[u8], most| {
        let mut out = b"before".to_vec();
        let result = schema.decode(encoded, &mut out, most);
        assert!(out.capacity() < 100_000 && out.len() <= most + 6, "{} bytes", out.len());
        result.map(|()| String::from_utf8_lossy(&out[6..]).into_owned())
    };
    let empty = r#"{"r":[],"s":{},"l":[]}"#;
    assert_eq!(most(&[0], empty.len()).as_deref(), Ok(empty));
    assert_eq!(most(&[0], empty.len() - 1), Err(DecodeError::TooLarge));
    // More places than are kept in memory, in a larger record than Kafka has by default.
    let fields = [&[0][..], &[0x10, 0].repeat(2_000_001)].concat();
    assert_eq!(most(&fields, 1 << 24).unwrap_err().to_string(), "the message has more than 2000000 fields");
    // Two bytes become an object with all its members.
    let many = [&[0][..], &[0x32, 0].repeat(500_000)].concat();
    assert!(most(&many, 10_000).is_err());
}

proptest! {
    #[test]
    fn any_bytes_decode_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let framed = [&[0], &*bytes].concat();
        let schema = schema(NESTED);
        for encoded in [&framed, &bytes] {
            if let Ok(json) = decode(&schema, encoded) {
                serde_json::from_str::<serde_json::Value>(&json).unwrap();
            }
        }
    }

    #[test]
    fn any_text_is_parsed_without_a_panic(
        words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..40),
        noise in "\\PC{0,10}",
    ) {
        let _ = ProtobufSchema::parse(&super::source(&(words.join(" ") + &noise), &[]));
    }

    #[test]
    fn damaged_descriptors_are_parsed_without_a_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = descriptor();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = ProtobufSchema::parse(&super::source(&STANDARD.encode(bytes), &[]));
    }

    #[test]
    fn any_json_is_read_without_a_panic(words in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..30)) {
        let schema = schema(NESTED);
        let json = words.concat();
        if let Ok(encoded) = encode(&schema, &json) {
            decode(&schema, &encoded).unwrap();
        }
    }
}

const WORDS: [&str; 32] = [
    "syntax",
    "=",
    "\"proto3\"",
    "\"proto2\"",
    ";",
    "message",
    "M",
    "{",
    "}",
    "int32",
    "a",
    "1",
    "0",
    "-1",
    "repeated",
    "map",
    "<",
    ">",
    ",",
    "string",
    "oneof",
    "enum",
    "option",
    "(",
    ")",
    "[",
    "]",
    "packed",
    "true",
    "extend",
    "group",
    "536870911",
];

const PIECES: [&str; 20] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"m\"",
    "\"r\"",
    "\"s\"",
    "\"v\"",
    "\"a\"",
    "\"l\"",
    "1",
    "-1.5e300",
    "null",
    "true",
    "\"x\"",
    "\"@type\":\"a/M\",",
    "{\"m\":{\"r\":[1,2]}}",
    "\"@type\":\"a/google.protobuf.Value\",\"value\":",
];
