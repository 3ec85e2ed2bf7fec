#![allow(clippy::unwrap_used)]

use super::super::rights::Right;
use super::*;
use crate::record::TopicName;
use proptest::prelude::*;

const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn a_file_with_every_setting_is_parsed() {
    let rules = parse(&format!(
        r#"
        ticket_secret = "0123456789abcdef0123456789abcdef"
        session = "30m"

        [[key]]
        name = "sensor-7"
        sha256 = "{HEX}"
        produce = ["readings.*"]
        expires = 2027-01-31T01:00:00+01:00

        [[key]]
        name = "ops"
        argon2 = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA"
        consume = ["*"]
        manage = ["tmp.*"]
        metrics = true
        "#
    ))
    .unwrap();
    let [sensor, ops] = &rules.keys[..] else { panic!("{rules:?}") };
    let topic = |name| TopicName::new(name).unwrap();
    assert!(sensor.rights.allow(Right::Produce, &topic("readings.a")));
    assert!(!sensor.rights.allow(Right::Consume, &topic("readings.a")));
    assert_eq!(sensor.expires, Some(1_801_353_600_000));
    assert!(ops.rights.allow(Right::Manage, &topic("tmp.a")) && ops.rights.metrics);
    assert_eq!(rules.session, Duration::from_secs(1800));
    assert!(rules.ticket_secret.is_some());
    assert_eq!(parse("").unwrap().session, DEFAULT_SESSION);
}

#[test]
fn errors_name_the_line_and_contain_no_secret() {
    let key = |rest: &str| format!("\n[[key]]\nname = \"a\"\n{rest}\n");
    let long = "x".repeat(101);
    let issuer = "[[jwt]]\nname = \"idp\"\nsecret = \"hushhushhushhushhushhushhushhush\"\n";
    let cases = [
        (key(""), 2, "give it either sha256 or argon2"),
        (key(&format!("sha256 = \"{HEX}\"\nargon2 = \"x\"")), 2, "give it either sha256 or argon2"),
        (key(&format!("sha256 = \"{HEX}\"\ncertificate = true")), 2, "or certificate = true"),
        (key("certificate = false"), 2, "give it either sha256 or argon2"),
        (key("sha256 = \"hushhush\""), 2, "sha256 is not 64 hexadecimal digits"),
        (key("argon2 = \"hushhush\""), 2, "not a PHC string"),
        (key(&format!("sha256 = \"{HEX}\"\nexpires = 2027-01-31")), 2, "with a time zone"),
        (key(&format!("sha256 = \"{HEX}\"\nexpires = \"hushhush\"")), 5, "invalid type"),
        (key("sha256 = \"x\"\nconsume = [\"a*b\"]"), 5, "a pattern is *"),
        (key("key = \"hushhush\""), 4, "unknown field"),
        ("\n\nticket_secret = \"hushhush\"".into(), 3, "shorter than 32"),
        ("ticket_secret = [\"hushhush\"]".into(), 1, "invalid type"),
        ("session = \"hushhush\"".into(), 1, "session must be a duration"),
        ("session = \"365d\"".into(), 1, "up to 31d"),
        ("session = \"0s\"".into(), 1, "session must be a duration"),
        ("curlew_hushhush".into(), 1, "this is an API key"),
        ("ticket_secret = 90902718".into(), 1, "invalid type: integer …, expected"),
        ("ticket_secret = 9090.2718".into(), 1, "invalid type: floating point …, expected"),
        ("ticket_secret = 90902718909027189090271890902718".into(), 1, ""),
        ("ticket_secret = 9090-27-18".into(), 1, ""),
        ("ticket_secret = true".into(), 1, "invalid type: boolean …, expected"),
        (key("sha256 = 90902718"), 4, "invalid type: integer …, expected"),
        ("[[key]]\nname = \"a:b\"".into(), 1, "no colon"),
        ("[[key]]\nname = \"idp/ann\"".into(), 1, "no slash"),
        ("[[jwt]]\nname = \"idp/ann\"".into(), 1, "no slash"),
        (format!("{issuer}\n{issuer}"), 5, "two [[jwt]] are named \"idp\""),
        (format!("[[key]]\nname = \"{long}\""), 1, "1 to 100 characters"),
        ("[[key]]\nname = \"\"".into(), 1, "1 to 100 characters"),
        ("[[key]]\nsha256 = \"hushhush\"".into(), 1, "missing field `name`"),
        ("[[keys]]\nname = \"hushhush\"".into(), 1, "unknown field"),
        ("secret = 'hushhush".into(), 1, ""),
    ];
    for (text, line, expected) in cases {
        let message = parse(&text).unwrap_err().to_string();
        assert!(message.starts_with(&format!("line {line}: ")) && message.contains(expected), "{text}\n{message}");
        let secrets = ["hush", "9090", "2718", "true"];
        let is_discreet = !secrets.iter().any(|secret| message.replace("certificate = true", "").contains(secret));
        assert!(is_discreet && !message.contains('\n'), "{text}\n{message}");
    }
}

proptest! {
    #[test]
    fn no_text_causes_a_panic(text in ".{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn a_damaged_file_causes_no_panic_and_reveals_no_secret(at in 0usize..300, with in any::<u8>(), cut in 0usize..300) {
        let text = format!(
            "ticket_secret = \"hushhushhushhushhushhushhushhush\"\nsession = \"1h\"\n[[key]]\nname = \"a\"\n\
             sha256 = \"{HEX}\"\nproduce = [\"a.*\", \"b\"]\nexpires = 2027-01-31T00:00:00Z\n"
        );
        let mut bytes = text.into_bytes();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = with;
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        if let Err(error) = parse(&String::from_utf8_lossy(&bytes)) {
            let message = format!("{error} {error:?}");
            prop_assert!(!message.contains("hushhush") && !message.contains(&HEX[..16]), "{}", message);
        }
    }
}
