#![allow(clippy::unwrap_used)]

use super::*;
use crate::record::{Records, TopicName};
use proptest::prelude::*;

const NOW: i64 = 1_769_846_400_123; // 2026-01-31T08:00:00.123Z, a Saturday

/// One record of topic `sensors`, partition 3, offset 42.
fn record(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&[u8], Option<&[u8]>)]) -> Records {
    let mut data = Vec::new();
    let mut part = |bytes: &[u8]| {
        let start = data.len();
        data.extend_from_slice(bytes);
        start..data.len()
    };
    let (key, value) = (key.map(&mut part), value.map(&mut part));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (part(name), value.map(&mut part))).collect();
    let mut records = Records::over(data.into());
    records.push(42, NOW, key, value);
    headers.into_iter().for_each(|(name, value)| records.push_header(name, value));
    records
}

fn matches(source: &str, records: &Records) -> bool {
    let expression = Expression::compile(source).unwrap_or_else(|e| panic!("{source}: {e}"));
    let topic = TopicName::new("sensors").unwrap();
    expression.is_true(&Document::new(&topic, 3, records.iter().next().unwrap()))
}

fn check(records: &Records, cases: &[(&str, bool)]) {
    for (source, expected) in cases {
        assert_eq!(matches(source, records), *expected, "{source}");
    }
}

#[test]
fn unsigned_64_bit_numbers_are_exact() {
    let value = br#"{"id":18446744073709551615,"near":18446744073709551614,"half":9223372036854775808,"n":5,"d":1.8446744073709552e19}"#;
    let cases = [
        ("value.n == 5u && 5u == 5 && value.n < 6U", true),
        ("value.id == 18446744073709551615u", true),
        ("value.near == 18446744073709551615u", false),
        ("value.near < 18446744073709551615u && value.id > value.near", true),
        ("value.id in [1, 18446744073709551615u]", true),
        ("value.half == 0x8000000000000000u", true),
        ("value.id > 9223372036854775807 && 9223372036854775807 < value.half", true),
        ("value.n < value.id && value.id != value.n", true),
        ("value.id == value.d || value.near == value.d", false),
        ("value.id < value.d && value.d > value.id && value.id > 1.5", true),
        ("value.id - value.near == 1 && value.near + 1 == value.id", true),
        ("value.id % 10 == 5 && value.id / value.id == 1", true),
        ("value.half - 1 == 9223372036854775807", true),
        ("value.id + 1 > 0", false),
        ("-value.id < 0", false),
        ("value.id + 0.5 > 1.0", true),
        ("string(value.id) == '18446744073709551615'", true),
        ("double(value.half) == 9223372036854775808.0", true),
        ("int(value.half) > 0", false),
        ("[1][18446744073709551615u] == 1", false),
    ];
    check(&record(None, Some(value), &[]), &cases);
}

#[test]
fn conditions_on_a_json_record() {
    let value = br#"{"temperature":30.5,"count":31,"unit":"C","tags":["hot",1,null],"at":{"line":{"no":7}},"ok":true,
        "big":18446744073709551615,"none":null,"odd name":1,"text":"a\nb","twice":1,"twice":2,"time":"2026-01-31T09:00:00Z"}"#;
    let records = record(Some(b"boiler"), Some(value), &[(b"source", Some(b"line-1")), (b"n", Some(b"7"))]);
    check(
        &records,
        &[
            (r#"value.temperature > 30 && key == "boiler""#, true),
            (r#"value.temperature > 30.5 || key != 'boiler'"#, false),
            ("value.count > 30.5", true),
            ("value.count == 31.0 && 31.0 == value.count", true),
            ("value.count >= 31 && value.count <= 31", true),
            ("value.temperature * 2 == 61", true),
            ("value.count / 2 == 15 && value.count % 2 == 1", true),
            ("value.temperature - value.count == -0.5", true),
            ("value.big > 9223372036854775807", true),
            ("-9223372036854775808 < value.count", true),
            ("value.unit in ['C', 'K']", true),
            ("'hot' in value.tags && 1.0 in value.tags && null in value.tags", true),
            ("'cold' in value.tags", false),
            ("'unit' in value && !('units' in value)", true),
            ("value.tags == ['hot', 1, null]", true),
            ("value.tags == ['hot', 1]", false),
            ("value.tags[1] == 1 && value.tags[0].startsWith('h')", true),
            ("value.tags[3] == 1 || true", true),
            ("value.tags[-1] == 1", false),
            ("['a', 'b'][1] == 'b'", true),
            ("value.at.line.no == 7 && value['at']['line'].no == 7", true),
            ("value.at == value.at", true),
            ("value.at == value.tags", false),
            (r#"value["odd name"] == 1"#, true),
            ("value.text == 'a\\nb' && value.text == \"\"\"a\nb\"\"\"", true),
            (r#"value.text.matches(r"^a\sb$")"#, true),
            ("value.twice == 2", true),
            ("value.none == null && has(value.none)", true),
            ("has(value.at.line) && !has(value.at.column)", true),
            ("has(value.up.line)", false),
            ("!has(value.up.line)", false),
            ("value.ok", true),
            ("!value.ok", false),
            ("!!value.ok", true),
            ("value.ok ? value.count == 31 : false", true),
            ("value.missing ? true : true", false),
            ("size(value.tags) == 3 && value.unit.size() == 1 && size(headers) == 2", true),
            ("size('häß') == 3 && size(b'h\\xff') == 2", true),
            ("value.unit.lowerAscii() == 'c' && 'Aä'.upperAscii() == 'Aä'", true),
            ("key.endsWith('er') && key.contains('oil') && !key.contains('x')", true),
            ("key.matches('^b.*r$') && matches(key, 'oi')", true),
            ("headers.source == 'line-1' && headers['n'] == '7' && int(headers.n) == 7", true),
            ("has(headers.x) || 'x' in headers", false),
            ("topic == 'sensors' && partition == 3 && offset == 42", true),
            ("timestamp >= timestamp('2026-01-31T08:00:00Z')", true),
            ("timestamp - timestamp('2026-01-31T09:00:00+01:00') == duration('0.123s')", true),
            ("timestamp + duration('1h') < timestamp(value.time)", false),
            ("timestamp(value.time) - timestamp < duration('1h')", true),
            ("timestamp.getHours() == 8 && timestamp.getDayOfWeek() == 6 && timestamp.getMonth() == 0", true),
            (
                "timestamp.getMilliseconds() == 123 && timestamp.getDate() == 31 && timestamp.getFullYear() == 2026",
                true,
            ),
            ("int(timestamp) == 1769846400 && timestamp(1769846400) < timestamp", true),
            ("duration('90m').getHours() == 1 && -duration('1m') < duration('0s')", true),
            ("string(value.count) == '31' && string(value.temperature) == '30.5' && string(true) == 'true'", true),
            ("string(timestamp) == '2026-01-31T08:00:00.123Z'", true),
            ("int('7') == 7 && int(7.9) == 7 && double('1.5') == 1.5 && bool('true')", true),
            ("'a' + value.unit == 'aC' && 'a' < 'b'", true),
            ("1 in [1, 2,] // a comment", true),
            ("0x1F == 31 && 31u == 31 && .5 == 5e-1", true),
        ],
    );
}

/// As in CEL, `&&` and `||` have a result if one side determines it.
#[test]
fn an_unknown_result_does_not_match_unless_the_other_side_determines_it() {
    let records = record(Some(b"k"), Some(br#"{"n":1,"s":"x"}"#), &[]);
    check(
        &records,
        &[
            ("value.missing == 1", false),
            ("value.missing != 1", false),
            ("value.missing == 1 || value.n == 1", true),
            ("value.n == 1 || value.missing == 1", true),
            ("!(value.missing == 1 && value.n == 2)", true),
            ("value.missing == 1 && value.n == 1", false),
            ("value.n && true", false),
            ("value.n || true", true),
            ("value.s > 1", false),
            ("value.s < 1", false),
            ("value.s != 1", true),
            ("value.s.missing == 1", false),
            ("value.n", false),
            ("value.n / 0 == 1", false),
            ("value.n % 0 == 1", false),
            ("value.n / 0.0 > 1", true),
            ("double('NaN') < 1.0 || double('NaN') >= 1.0", false),
            ("9223372036854775807 + value.n > 0", false),
            ("-9223372036854775808 / (0 - value.n) > 0", false),
            ("-(-9223372036854775808 + value.n - 1) > 0", false),
            ("int(1e300) > 0", false),
            ("int(value.s) > 0 || timestamp(value.s) > timestamp || duration(value.s) > duration('1s')", false),
            ("timestamp(9223372036854775807) > timestamp", false),
            ("size(value.n) == 1", false),
            ("headers.a == 'b'", false),
        ],
    );
}

#[test]
fn keys_and_values_that_are_not_json() {
    let null = record(None, None, &[(b"a", None), (b"a", Some(b"1")), (b"b", Some(b"\xff")), (b"\xff", Some(b"1"))]);
    check(
        &null,
        &[
            ("value == null && key == null", true),
            ("value.a == 1 || value > 1 || 'a' in value", false),
            ("headers.a == '1' && headers.b == b'\\xff' && size(headers) == 2", true),
        ],
    );
    check(&record(Some(b"42"), Some(b"21.5"), &[]), &[("value == 21.5 && key == 42", true), ("key == '42'", false)]);
    check(&record(Some(b"\"a\""), Some(b" [1] "), &[]), &[("key == 'a' && value[0] == 1", true)]);
    check(&record(Some(b"true story"), Some(b"{\"cut"), &[]), &[("key == 'true story' && value == '{\"cut'", true)]);
    check(&record(Some(b""), Some(b"\xff\xfe"), &[]), &[("key == '' && value == b'\\xff\\xfe'", true)]);
    let deep = "[".repeat(100_000);
    check(&record(None, Some(deep.as_bytes()), &[]), &[("value.startsWith('[[[')", true), ("value[0] == 1", false)]);
}

#[test]
fn compile_errors_name_their_column() {
    let cases = [
        ("", 1, "expected a value, found the end"),
        ("value.temperature >", 20, "expected a value, found the end"),
        ("value.temperature > > 3", 21, "expected a value, found `>`"),
        ("valu.temperature > 30", 1, "there is no variable `valu`; there are value, key, headers, topic"),
        ("key == 'ä' && foo(1)", 15, "there is no function `foo`; there are has, size, int"),
        ("key.foo()", 5, "there is no method `foo`; there are size, startsWith"),
        ("value.tags.exists(t, t == 1)", 12, "to look into a list, write x in list"),
        ("key = 'a'", 5, "to compare, write =="),
        ("key == 'a", 8, "this string does not end"),
        ("key == 'a\n'", 8, "this string does not end"),
        (r"key == 'a\q'", 10, "this escape is unknown"),
        (r"key == '\ud800'", 9, "this escape is unknown"),
        ("key & 1", 5, "'&' is not allowed here"),
        ("value.a == 1 }", 14, "expected an operator or the end, found `}`"),
        ("value.a == {}", 12, "maps cannot be written here"),
        ("(key == 'a'", 12, "expected `)`, found the end"),
        ("key == 'a' 'b'", 12, "expected an operator or the end, found `'b'`"),
        ("value[1 == 2", 13, "expected `]`"),
        ("value. == 1", 8, "expected the name of a field or function, found `==`"),
        ("value.a ? true", 15, "expected `:`"),
        ("[1 2] == value", 4, "expected `,` or `]`"),
        ("9223372036854775808 == value", 1, "too large"),
        ("18446744073709551616u == value", 1, "too large"),
        ("1e999 == value", 1, "too large"),
        ("1x == value", 2, "'x' cannot follow a number"),
        ("value.size(1) == 1", 7, "size() takes 0 argument(s), not 1"),
        ("has(value)", 1, "has() takes one field"),
        ("key.matches('(')", 13, "this pattern cannot be used"),
        ("key.matches('(a{1000}){1000}')", 13, "this pattern cannot be used"),
        (&format!("{}true", "key.matches('.{30}')||".repeat(20)), 189, "take together at most 16384 bytes"),
        ("key.matches(value.pattern)", 13, "must be written out"),
        ("timestamp > timestamp('yesterday')", 23, "write it like 2026-01-31T08:00:00Z"),
        ("duration('1 day') < duration('1h')", 10, "write it like 1h30m"),
        ("value.a + 1", 1, "where= needs true or false, and this is always the result of a calculation"),
        ("'yes'", 1, "this is always a string"),
        ("value.ok && size(key)", 13, "&& needs true or false, and this is always an int"),
        ("1 ? true : false", 1, "the condition of ?: needs true or false"),
        ("!topic", 2, "! needs true or false"),
        ("in == 1", 1, "expected a value, found `in`"),
    ];
    for (source, column, problem) in cases {
        let error = Expression::compile(source).unwrap_err();
        assert!(error.column == column && error.problem.contains(problem), "{source}: {error}");
    }
    assert!(
        Expression::compile("value.a >").unwrap_err().to_string().starts_with("where, column 10: expected a value")
    );
}

#[test]
fn expressions_nested_too_deeply_or_too_long_are_rejected_before_they_overflow_the_stack() {
    let repeated = |before: &str, times: usize, middle: &str, after: &str| {
        format!("{}{middle}{}", before.repeat(times), after.repeat(times))
    };
    let sources = [
        repeated("(", 500, "true", ")"),
        repeated("[", 500, "1", "]") + " == value",
        repeated("!", 1000, "true", ""),
        repeated("- ", 500, "1", "") + " == 1",
        repeated("value[", 160, "1", "]"),
        repeated("size(", 160, "1", ")"),
        repeated("value ? ", 100, "true", ": 1"),
        format!("value{} == 1", ".a".repeat(500)),
        format!("value{} == 1", "[0]".repeat(300)),
        format!("1{} == 1", "+1".repeat(500)),
        format!("1{}", "==1".repeat(300)),
        "(".repeat(1_000_000),
        "[".repeat(1024),
        "value.".repeat(170),
    ];
    for source in sources {
        // A smaller stack than any thread of the bridge has left.
        let small = std::thread::Builder::new().stack_size(512 << 10);
        let is_rejected = small.spawn(move || Expression::compile(&source).is_err()).unwrap().join().unwrap();
        assert!(is_rejected);
    }
    // A long expression that is not nested compiles.
    let keys: Vec<_> = (10..70).map(|n| format!("key == 'k{n}'")).collect();
    check(&record(Some(b"k69"), None, &[]), &[(&keys.join("||"), true), (&keys.join("&&"), false)]);
    let deepest = format!("{}true{}", "(".repeat(MAX_DEPTH - 1), ")".repeat(MAX_DEPTH - 1));
    assert!(Expression::compile(&deepest).is_ok());
}

#[test]
fn an_evaluation_that_takes_too_many_steps_is_unknown() {
    let long = "x".repeat(1 << 20);
    let records = record(None, Some(long.as_bytes()), &[]);
    check(&records, &[("value.contains('y') || true", true), ("value.contains('xx')", true)]);
    let doubled = format!("({}).contains('x')", ["value"; 31].join("+"));
    check(&records, &[(&doubled, false), ("!value.matches('(x{0,9}){9}y')", false)]);
    let list = format!("[{}1]", "0,".repeat(200_000));
    let records = record(None, Some(list.as_bytes()), &[]);
    check(&records, &[("1 in value", true), ("!(2 in value) && !(3 in value)", false), ("value == value", true)]);
}

#[test]
fn expressions_of_the_same_tokens_are_equal() {
    let compile = |source| Expression::compile(source).unwrap();
    assert_eq!(compile("value.a>1&&key=='b'"), compile(" value . a > 1 && key == 'b' // yes"));
    assert_ne!(compile("value.a > 1"), compile("value.a > 2"));
    assert_ne!(compile("key == 'a  b'"), compile("key == 'a b'"));
    // A client compiles its filter and sends the text of the compiled expression to the bridge.
    let source = "value.a in [1, -2]\n ? !has(value.b) : r'\\' == \"\"\"x\n\"\"\" // why";
    let written = compile(source).to_string();
    assert_eq!(compile(&written), compile(source));
}

fn token_sequences() -> impl Strategy<Value = String> {
    let tokens = [
        "value",
        "key",
        "headers",
        "topic",
        "partition",
        "offset",
        "timestamp",
        ".",
        ".a",
        ".b",
        "[",
        "]",
        "(",
        ")",
        ",",
        "&&",
        "||",
        "!",
        "-",
        "+",
        "*",
        "/",
        "%",
        "==",
        "!=",
        "<",
        ">",
        " in ",
        "?",
        ":",
        "true",
        "null",
        "1",
        "0",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "1e308",
        "'a'",
        "b'\\xff'",
        "'1h'",
        "size(",
        "int(",
        "double(",
        "string(",
        "timestamp(",
        "duration(",
        "has(value.a)",
        ".matches('a*b')",
        ".contains(",
        ".startsWith('a')",
        ".size()",
        ".getHours()",
        "\\",
        "'",
        "\"\"\"",
        "//",
        "\n",
        "ä",
        "r'",
        "0x",
        "..",
    ];
    prop::collection::vec(prop::sample::select(tokens.to_vec()), 0..40).prop_map(|tokens| tokens.concat())
}

/// Expressions of every kind, most of which compile.
fn conditions() -> impl Strategy<Value = String> {
    let leaves = [
        "value",
        "key",
        "headers",
        "topic",
        "offset",
        "timestamp",
        "value.a",
        "value.b.a",
        "value[0]",
        "null",
        "true",
        "1",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "0.5",
        "1e308",
        "'a'",
        "'2026-01-31T08:00:00Z'",
        "b'a'",
        "duration('1h')",
        "has(value.a)",
        "[]",
    ];
    let operators =
        ["==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%", "&&", "||"].map(|o| format!(" {o} "));
    let functions = ["size", "int", "double", "string", "bool", "timestamp", "duration", "!", "-"];
    let methods = ["getHours()", "lowerAscii()", "matches('^a')", "contains(key)", "size()", "a", "startsWith('')"];
    prop::sample::select(leaves.to_vec()).prop_map(str::to_owned).prop_recursive(5, 32, 3, move |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(operators.to_vec()), inner.clone())
                .prop_map(|(a, operator, b)| format!("({a}{operator}{b})")),
            (prop::sample::select(functions.to_vec()), inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            (inner.clone(), prop::sample::select(methods.to_vec())).prop_map(|(a, m)| format!("{a}.{m}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[ab12\\PC]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map("[abc]{1,2}", inner, 0..4)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn compile_and_match(source: &str, key: &[u8], value: &[u8]) -> Option<bool> {
    let records = record(Some(key), Some(value), &[(key, Some(value))]);
    let topic = TopicName::new("t").unwrap();
    let expression = match Expression::compile(source) {
        Ok(expression) => expression,
        Err(error) => {
            assert!(
                error.column >= 1 && error.column <= source.chars().count().min(CelLimits::default().length) + 1,
                "{error}"
            );
            return None;
        }
    };
    assert_eq!(Expression::compile(&expression.to_string()).as_ref(), Ok(&expression));
    Some(expression.is_true(&Document::new(&topic, 0, records.iter().next().unwrap())))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_compiles_or_fails_cleanly(source in "\\PC{0,200}", bytes in any::<Vec<u8>>()) {
        compile_and_match(&source, &bytes, &bytes);
    }

    #[test]
    fn any_sequence_of_tokens_compiles_or_fails_cleanly(source in token_sequences(), key in any::<Vec<u8>>(), value in json()) {
        compile_and_match(&source, &key, value.to_string().as_bytes());
    }

    #[test]
    fn any_record_can_be_evaluated(source in conditions(), key in "[a1]{0,3}", value in json()) {
        let value = value.to_string();
        let result = compile_and_match(&source, key.as_bytes(), value.as_bytes());
        // An expression and its negation are never both true.
        if result == Some(true) && source.len() < 900 {
            prop_assert_ne!(compile_and_match(&format!("!({source})"), key.as_bytes(), value.as_bytes()), Some(true));
        }
    }

    #[test]
    fn ints_and_doubles_compare_by_value(int in any::<i64>(), near in -3i64..3, double in any::<f64>()) {
        let close = int.saturating_add(near) as f64;
        for double in [double, close, close + 0.5] {
            let expected = i128::from(int).cmp(&(double.floor() as i128));
            let expected = if double.is_nan() { None } else if expected.is_eq() && double.fract() != 0.0 {
                Some(std::cmp::Ordering::Less)
            } else { Some(expected) };
            prop_assert_eq!(value::compare_numbers(int, double), expected);
        }
    }
}

#[test]
fn an_expression_respects_its_limits() {
    let within = |length, steps| Expression::compile_within("value.a + value.a == 4", CelLimits { length, steps });
    assert!(within(21, 100).unwrap_err().problem.contains("at most 21 characters"));
    let (records, topic) = (record(None, Some(br#"{"a": 2}"#), &[]), TopicName::new("t").unwrap());
    for (steps, expected) in [(3, false), (100, true)] {
        let document = Document::new(&topic, 0, records.iter().next().unwrap());
        assert_eq!(within(22, steps).unwrap().is_true(&document), expected, "{steps} steps");
    }
}
