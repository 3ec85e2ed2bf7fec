use super::{decode, encode, schema, source};
use crate::schemas::protobuf::ProtobufSchema;

const TABLE: &str = r#"
syntax = "proto3";
package forms;
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

message Outer {
  enum Color { RED = 0; GREEN = 1; }
  message Site { string name = 1; optional int32 floor = 2; }
  int32 i = 1;
  int64 big = 2;
  uint64 huge = 3;
  float f = 4;
  double d = 5;
  bool on = 6;
  string text = 7;
  bytes raw = 8;
  Color color = 9;
  Site first_site = 10;
  repeated int32 numbers = 11;
  repeated Site sites = 12;
  map<string, Site> by_name = 13;
  map<int32, string> by_number = 14;
  map<bool, double> by_flag = 15;
  oneof choice { string word = 16; int32 count = 17; Site place = 18; }
  optional int32 maybe = 19;
  google.protobuf.Timestamp at = 20;
  google.protobuf.Duration took = 21;
  google.protobuf.Struct free = 22;
  google.protobuf.Value any_value = 23;
  google.protobuf.Any packed = 24;
  google.protobuf.Int64Value wrapped = 25;
  google.protobuf.FieldMask mask = 26;
  google.protobuf.Empty nothing = 27;
  Outer inner = 28;
  google.protobuf.NullValue null = 29;
  sint64 zig = 30;
  fixed32 fix = 31;
  google.protobuf.ListValue list = 32;
}
"#;

/// What a member of `Outer` becomes when it is encoded and decoded.
fn through(json: &str) -> serde_json::Value {
    let schema = schema(TABLE);
    let encoded = encode(&schema, json).unwrap_or_else(|error| panic!("{json}: {error}"));
    serde_json::from_str(&decode(&schema, &encoded).unwrap()).unwrap()
}

#[test]
fn a_flat_message_is_an_object() {
    let schema = schema(r#"syntax = "proto3"; message Reading { string site_name = 1; double t = 2; int64 n = 3; }"#);
    let encoded = [0, 0x0a, 2, b'N', b'O', 0x11, 0, 0, 0, 0, 0, 0x80, 0x36, 0x40, 0x18, 0x96, 1];
    assert_eq!(decode(&schema, &encoded).unwrap(), r#"{"siteName":"NO","t":22.5,"n":150}"#);
    assert_eq!(decode(&schema, &[0]).unwrap(), r#"{"siteName":"","t":0.0,"n":0}"#);
    assert_eq!(encode(&schema, r#"{"n":150,"t":22.5,"site_name":"NO"}"#).unwrap(), encoded);
}

#[test]
fn members_keep_their_values() {
    let rows = [
        r#"{"i":-5}"#,
        r#"{"i":2147483647}"#,
        r#"{"big":-9223372036854775808}"#,
        r#"{"huge":18446744073709551615}"#,
        r#"{"f":0.1}"#,
        r#"{"d":0.30000000000000004}"#,
        r#"{"d":"NaN"}"#,
        r#"{"f":"-Infinity"}"#,
        r#"{"on":true}"#,
        r#"{"text":"Å \" \u0000"}"#,
        r#"{"raw":"AP8="}"#,
        r#"{"color":"GREEN"}"#,
        r#"{"color":7}"#,
        r#"{"numbers":[0,0,-1]}"#,
        r#"{"firstSite":{"name":""}}"#,
        r#"{"firstSite":{"name":"","floor":0}}"#,
        r#"{"sites":[{"name":"a"},{"name":""}]}"#,
        r#"{"byName":{"":{"name":"x"},"b":{"name":""}}}"#,
        r#"{"byNumber":{"-1":"a","0":""}}"#,
        r#"{"byFlag":{"false":0.0,"true":1.5}}"#,
        r#"{"word":""}"#,
        r#"{"count":0}"#,
        r#"{"place":{"name":"","floor":3}}"#,
        r#"{"maybe":0}"#,
        r#"{"at":"2026-11-30T20:00:00Z"}"#,
        r#"{"at":"0001-01-01T00:00:00Z"}"#,
        r#"{"at":"9999-12-31T23:59:59.999999999Z"}"#,
        r#"{"at":"1969-12-31T23:59:59.500Z"}"#,
        r#"{"took":"1.500s"}"#,
        r#"{"took":"-0.000000001s"}"#,
        r#"{"took":"0s"}"#,
        r#"{"free":{"a":[1.0,"x",null,{"b":true}],"":{}}}"#,
        r#"{"anyValue":null}"#,
        r#"{"anyValue":[[],{}]}"#,
        r#"{"packed":{"@type":"type.googleapis.com/forms.Outer.Site","name":"x","floor":1}}"#,
        r#"{"packed":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}}"#,
        r#"{"packed":{}}"#,
        r#"{"wrapped":0}"#,
        r#"{"wrapped":9007199254740993}"#,
        r#"{"mask":"firstSite.name,i"}"#,
        r#"{"mask":""}"#,
        r#"{"nothing":{}}"#,
        r#"{"zig":-3}"#,
        r#"{"fix":4294967295}"#,
        r#"{"list":[]}"#,
    ];
    let empty = through("{}");
    for row in rows {
        let mut expected = empty.clone();
        let given: serde_json::Map<String, serde_json::Value> = serde_json::from_str(row).unwrap();
        expected.as_object_mut().unwrap().extend(given);
        assert_eq!(through(row), expected, "{row}");
    }
}

#[test]
fn an_empty_message_has_the_fields_without_presence() {
    let expected = r#"{"i":0,"big":0,"huge":0,"f":0.0,"d":0.0,"on":false,"text":"","raw":"","color":"RED","numbers":[],
        "sites":[],"byName":{},"byNumber":{},"byFlag":{},"null":null,"zig":0,"fix":0}"#;
    assert_eq!(through("{}"), serde_json::from_str::<serde_json::Value>(expected).unwrap());
}

#[test]
fn other_spellings_of_a_value_are_read() {
    let rows = [
        (r#"{"i":"12"}"#, r#"{"i":12}"#),
        (r#"{"i":1.0}"#, r#"{"i":1}"#),
        (r#"{"i":1e3}"#, r#"{"i":1000}"#),
        (r#"{"huge":"18446744073709551615"}"#, r#"{"huge":18446744073709551615}"#),
        (r#"{"d":"1.5"}"#, r#"{"d":1.5}"#),
        (r#"{"d":3}"#, r#"{"d":3.0}"#),
        (r#"{"raw":"_-8"}"#, r#"{"raw":"/+8="}"#),
        (r#"{"color":1}"#, r#"{"color":"GREEN"}"#),
        (r#"{"first_site":{}}"#, r#"{"firstSite":{"name":""}}"#),
        (r#"{"at":"2026-11-30T21:00:00+01:00"}"#, r#"{"at":"2026-11-30T20:00:00Z"}"#),
        (r#"{"i":null,"sites":null,"word":null,"at":null,"wrapped":null}"#, "{}"),
        (
            r#"{"packed":{"name":"x","@type":"a/forms.Outer.Site"}}"#,
            r#"{"packed":{"@type":"a/forms.Outer.Site","name":"x"}}"#,
        ),
    ];
    let schema = schema(TABLE);
    for (given, expected) in rows {
        assert_eq!(encode(&schema, given).unwrap(), encode(&schema, expected).unwrap(), "{given}");
    }
}

#[test]
fn an_error_names_the_place_and_what_is_allowed() {
    let rows = [
        (r#"{"i":"x"}"#, r#".i: invalid value: string "x", expected an integer of 32 bits"#),
        (r#"{"i":2147483648}"#, ".i: invalid value: integer `2147483648`, expected an integer of 32 bits"),
        (r#"{"i":1.5}"#, ".i: invalid value: floating point `1.5`, expected an integer of 32 bits"),
        (
            r#"{"big":-9223372036854775809}"#,
            ".big: invalid value: floating point `-9.223372036854776e+18`, expected an integer of 64 bits",
        ),
        (
            r#"{"big":9007199254740993.0}"#,
            ".big: invalid value: floating point `9007199254740992.0`, expected an integer of 64 bits",
        ),
        (r#"{"text":5}"#, ".text: invalid type: integer `5`, expected a string"),
        (r#"{"f":1e39}"#, ".f: 1e39 is out of range for a float"),
        (
            r#"{"color":"BLUE"}"#,
            r#".color: invalid value: string "BLUE", expected a name of the enum forms.Outer.Color"#,
        ),
        (
            r#"{"sites":[{"name":"a"},{"nmae":"b"}]}"#,
            ".sites[1].nmae: forms.Outer.Site has no such field, its fields: name, floor",
        ),
        (
            r#"{"byName":{"x":{"floor":"y"}}}"#,
            r#".byName.x.floor: invalid value: string "y", expected an integer of 32 bits"#,
        ),
        (r#"{"byNumber":{"x":"y"}}"#, r#".byNumber.x: invalid value: string "x", expected an integer of 32 bits"#),
        (r#"{"sites":[null]}"#, ".sites[0]: invalid type: null, expected an object for forms.Outer.Site"),
        (r#"{"sites":{}}"#, ".sites: invalid type: map, expected a list"),
        (r#"{"word":"a","count":1}"#, ".count: given beside word, another member of the same oneof"),
        (r#"{"firstSite":{},"first_site":{}}"#, ".firstSite: given twice"),
        (
            r#"{"at":"yesterday"}"#,
            r#".at: invalid value: string "yesterday", expected a time like 2026-11-30T20:00:00Z"#,
        ),
        (r#"{"took":"1"}"#, r#".took: invalid value: string "1", expected a duration like 1.5s"#),
        (r#"{"packed":{"@type":"a/b.C"}}"#, ".packed[\"@type\"]: the schema has no message b.C"),
        (
            r#"{"packed":{"@type":"a/forms.Outer.Site","floor":""}}"#,
            r#".packed.floor: invalid value: string "", expected an integer of 32 bits"#,
        ),
        ("[]", ": invalid type: sequence, expected an object for forms.Outer"),
        (r#"{"i":"#, ".i: EOF while parsing a value at line 1 column 5"),
        ("{} x", ": trailing characters at line 1 column 4"),
    ];
    let schema = schema(TABLE);
    for (given, expected) in rows {
        assert_eq!(encode(&schema, given).unwrap_err().to_string(), expected, "{given}");
    }
}

#[test]
fn proto2_has_required_fields_groups_and_extensions() {
    let text = r#"
        syntax = "proto2"; package old;
        message Order {
          required int32 id = 1; optional string note = 2 [default = "none"]; repeated int32 many = 3;
          optional group Item = 4 { optional int32 count = 1; }
          extensions 100 to 200;
        }
        extend Order { optional string extra = 100; }"#;
    let schema = schema(text);
    let json = r#"{"id":0,"many":[1,2],"item":{"count":3},"[old.extra]":"x"}"#;
    let encoded = encode(&schema, json).unwrap();
    assert_eq!(encoded, [0, 8, 0, 0x18, 1, 0x18, 2, 0x23, 8, 3, 0x24, 0xa2, 6, 1, b'x']);
    assert_eq!(decode(&schema, &encoded).unwrap(), json);
    assert_eq!(decode(&schema, &[0]).unwrap(), r#"{"many":[]}"#);
    assert_eq!(encode(&schema, "{}").unwrap_err().to_string(), ".id: missing, a required field");
}

#[test]
fn the_message_index_chooses_the_message() {
    let text = r#"syntax = "proto3";
        message A { message B { int32 b = 1; } map<string, B> m = 1; message C { int32 c = 1; } }
        message D { map<string, int32> m = 1; message E { int32 e = 1; } }"#;
    let schema = schema(text);
    let rows: [(&[u8], &str); 8] = [
        (&[0], r#"{"m":{}}"#),
        (&[2, 0], r#"{"m":{}}"#),
        (&[4, 0, 0, 8, 5], r#"{"b":5}"#),
        // Java counts the declared messages only.
        (&[4, 0, 2, 8, 5], r#"{"c":5}"#),
        // Python and Go count the generated message of the map too.
        (&[4, 0, 4, 8, 5], r#"{"c":5}"#),
        (&[4, 2, 2, 8, 5], r#"{"e":5}"#),
        // Apicurio writes the name.
        (&[3, 10, 1, b'D'], r#"{"m":{}}"#),
        (&[5, 10, 3, b'A', b'.', b'C', 8, 5], r#"{"c":5}"#),
    ];
    for (encoded, json) in rows {
        assert_eq!(decode(&schema, encoded).as_deref(), Ok(json), "{encoded:?}");
    }
    for wrong in [&[][..], &[1], &[2, 8], &[4, 0, 9], &[0xfe, 0xff, 0xff, 0xff, 15], &[6, 0, 0, 0]] {
        assert!(decode(&schema, wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn imports_come_from_the_references_and_from_confluent() {
    let text = r#"syntax = "proto3"; package shop; import "shop/site.proto"; import "confluent/meta.proto";
        import "confluent/types/decimal.proto";
        message Order {
          option (confluent.message_meta) = { doc: "An order" };
          Site site = 1 [(confluent.field_meta) = { doc: "where", tags: ["PII"] }, deprecated = true];
          confluent.type.Decimal price = 2 [(acme.unknown).deep = -1];
        }"#;
    let site =
        r#"syntax = "proto3"; package shop; import public "shop/country.proto"; message Site { Country c = 1; }"#;
    let country = r#"syntax = "proto3"; package shop; message Country { string code = 1; }"#;
    let references = [("shop/country.proto", country), ("shop/site.proto", site)];
    let schema = ProtobufSchema::parse(&source(text, &references)).unwrap();
    let json = r#"{"site":{"c":{"code":"NO"}},"price":{"value":"AQ==","precision":3,"scale":2}}"#;
    assert_eq!(decode(&schema, &encode(&schema, json).unwrap()).unwrap(), json);

    let missing = ProtobufSchema::parse(&source(text, &references[..1])).unwrap_err().to_string();
    assert_eq!(missing, "import 'shop/site.proto' not found");
}

#[test]
fn a_serialized_descriptor_is_a_schema_too() {
    use base64::Engine;
    use prost_reflect::prost::Message;
    let text = r#"syntax = "proto3"; package p; message M { optional int32 a = 1; map<string, int32> b = 2; }"#;
    let file = protox::file::File::from_source("other/name.proto", text).unwrap();
    let file = prost_reflect::prost_types::FileDescriptorProto::from(file);
    let schema = schema(&base64::engine::general_purpose::STANDARD.encode(file.encode_to_vec()));
    let json = r#"{"a":0,"b":{"x":1}}"#;
    assert_eq!(decode(&schema, &encode(&schema, json).unwrap()).unwrap(), json);
}

#[test]
fn fields_written_in_several_places_are_merged() {
    let text = r#"syntax = "proto3"; message M { int32 i = 1; N n = 2; repeated int32 r = 3; map<string, N> m = 4;
        oneof o { N a = 5; int32 b = 6; } string s = 7; } message N { int32 x = 1; int32 y = 2; repeated int32 z = 3; }"#;
    let schema = schema(text);
    let rows: [(&[u8], &str, &str); 8] = [
        (&[0, 8, 1, 8, 2], "i", "2"),
        (&[0, 18, 2, 8, 1, 8, 9, 18, 4, 16, 2, 24, 3], "n", r#"{"x":1,"y":2,"z":[3]}"#),
        (&[0, 24, 1, 26, 2, 2, 3, 8, 1, 24, 4], "r", "[1,2,3,4]"),
        (&[0, 34, 3, 10, 1, b'a', 34, 7, 10, 1, b'a', 18, 2, 8, 1], "m", r#"{"a":{"x":1,"y":0,"z":[]}}"#),
        (&[0, 42, 2, 8, 1, 42, 2, 16, 2], "a", r#"{"x":1,"y":2,"z":[]}"#),
        (&[0, 42, 2, 8, 1, 48, 1, 42, 2, 16, 2], "a", r#"{"x":0,"y":2,"z":[]}"#),
        (&[0, 42, 2, 8, 1, 48, 7], "b", "7"),
        // A field with another wire type is unknown, and so are other numbers.
        (&[0, 13, 0, 0, 0, 0, 0x9b, 1, 8, 1, 0x9c, 1], "i", "0"),
    ];
    for (encoded, name, expected) in rows {
        let json: serde_json::Value = serde_json::from_str(&decode(&schema, encoded).unwrap()).unwrap();
        assert_eq!(json[name].to_string(), expected, "{encoded:?}");
    }
    assert_eq!(decode(&schema, &[0, 58, 1, 0xff]).unwrap_err(), "a string is not UTF-8");
}
