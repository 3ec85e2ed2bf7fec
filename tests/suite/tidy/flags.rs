//! The Kafka client does not know Curlew's command line.

use super::exceptions::{self, Found};
use super::lexer::Kind;
use super::source::inside;

/// Flags of Kafka's tools, in commands that the doctor recommends.
const OF_KAFKA: [&str; 5] = ["--create", "--delete", "--topic", "--operation", "--cluster"];

fn flags(text: &str) -> impl Iterator<Item = &str> {
    let starts =
        text.match_indices("--").filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '-'));
    let flag = |(at, _)| {
        let end = text[at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(text.len() - at);
        &text[at..at + end]
    };
    let is_flag = |flag: &&str| flag[2..].starts_with(|c: char| c.is_ascii_lowercase());
    starts.map(flag).filter(is_flag).filter(|flag| !OF_KAFKA.contains(flag))
}

#[test]
fn the_kafka_client_names_no_flag() {
    let mut found = Found::new();
    for source in inside(&["src/kafka/", "src/kafka.rs"]) {
        for token in source.tokens.iter().filter(|token| token.kind == Kind::Text) {
            for flag in flags(token.text) {
                found.entry(source.path.to_owned()).or_default().push(format!("line {}: {flag}", token.line));
            }
        }
    }
    exceptions::check("no string in src/kafka names a flag: hints are data for commands and http", "flags.txt", &found);
}

#[test]
fn flags_are_found_in_text() {
    let text = "give --driver wire, or (--kafka-config); a--b, -----BEGIN, -- and kafka-topics --create";
    assert_eq!(flags(text).collect::<Vec<_>>(), ["--driver", "--kafka-config"]);
}
