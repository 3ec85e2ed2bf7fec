#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::{Command, read_line};
use proptest::prelude::*;

fn settings(line: &str) -> Produce {
    match read_line(&format!("curlew produce t {line}")) {
        Ok(Command::Produce(produce)) => produce,
        other => panic!("{other:?}"),
    }
}

fn all(input: impl Read, settings: &Produce) -> Vec<(Option<String>, String)> {
    let mut lines = InputLines::new(input);
    let mut all = Vec::new();
    while let Some(batch) = lines.next_batch(settings).unwrap() {
        let text = |b: Bytes| String::from_utf8(b.to_vec()).unwrap();
        all.extend(batch.into_iter().map(|r| (r.key.map(text), text(r.value.unwrap()))));
    }
    all
}

#[test]
fn each_line_is_a_record_and_the_last_one_needs_no_line_end() {
    let values = |input: &str| all(input.as_bytes(), &settings("")).into_iter().map(|(_, v)| v).collect::<Vec<_>>();
    assert_eq!(values("a\nb\n"), ["a", "b"]);
    assert_eq!(values("a\nb"), ["a", "b"]);
    assert_eq!(values("\n\nx"), ["", "", "x"]);
    assert_eq!(values("\r\n"), ["\r"]);
    assert!(values("").is_empty());
}

#[test]
fn the_key_is_before_the_first_separator() {
    let record = |key: Option<&str>, value: &str| (key.map(str::to_owned), value.to_owned());
    let input = "boiler:21:5\nno separator\n:v\nk:\n";
    let expected =
        [record(Some("boiler"), "21:5"), record(None, "no separator"), record(Some(""), "v"), record(Some("k"), "")];
    assert_eq!(all(input.as_bytes(), &settings("--key-separator :")), expected);
    assert_eq!(all("k\tv=>w".as_bytes(), &settings("--key-separator =>")), [record(Some("k\tv"), "w")]);
    assert_eq!(all("k\tv".as_bytes(), &settings("--key-separator \\t")), [record(Some("k"), "v")]);
}

#[test]
fn every_record_has_the_headers_and_the_partition() {
    let settings = settings("--header a=1 --header a=2=3 --partition 4");
    let batch = InputLines::new(&b"x"[..]).next_batch(&settings).unwrap().unwrap();
    let headers: Vec<_> = batch[0].headers.iter().map(|h| (h.name.as_str(), h.value.as_deref().unwrap())).collect();
    assert_eq!(headers, [("a", &b"1"[..]), ("a", b"2=3")]);
    assert_eq!(batch[0].partition, Some(4));
}

/// A reader that returns a few bytes at a time.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let few = self.0.len().min(self.1).min(out.len());
        let (now, later) = self.0.split_at(few);
        out[..few].copy_from_slice(now);
        self.0 = later;
        Ok(few)
    }
}

proptest! {
    #[test]
    fn how_the_input_is_split_makes_no_difference(input in "[ab\n]{0,40}", few in 1usize..5) {
        let settings = settings("");
        prop_assert_eq!(all(Slow(input.as_bytes(), few), &settings), all(input.as_bytes(), &settings));
    }
}

#[test]
fn records_before_an_invalid_line_are_sent_and_none_after_it() {
    let settings = settings("--format record --header a=1 --keep-partitions");
    let input = concat!(
        r#"{"partition":2,"key":"k","value":"a","headers":[{"name":"h","value":null}],"timestamp":5}"#,
        "\n\n",
        r#"{"partition":0,"value":null}"#,
        "\n{\n",
        r#"{"partition":0,"value":"never"}"#,
    );
    let mut lines = InputLines::new(input.as_bytes());
    let batch = lines.next_batch(&settings).unwrap().unwrap();
    let shown: Vec<_> = batch.iter().map(|r| (r.partition, r.value.as_deref(), r.timestamp, r.headers.len())).collect();
    assert_eq!(shown, [(Some(2), Some(&b"a"[..]), Some(5), 2), (Some(0), None, None, 1)]);
    let why = lines.next_batch(&settings).unwrap_err().to_string();
    assert!(why.starts_with("line 4 is not a record, and nothing from this line on was sent: EOF"), "{why}");
    assert!(lines.next_batch(&settings).unwrap().is_none());
}
