#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn seal(secret: &str) -> Seal {
    Seal::new(secret.as_bytes()).unwrap()
}

fn ticket() -> Pass {
    let topics = ["readings", "alarms.north"].map(|name| TopicName::new(name).unwrap()).to_vec();
    Pass {
        name: "web".into(),
        source: Source::Key { name: "web".into(), fingerprint: "abcdefghijkl".into() },
        ends: 1_800_000_000_000,
        rights: None,
        ticket: Some(Ticket { topics, open_by: 1_799_999_999_000 }),
    }
}

fn session() -> Pass {
    Pass {
        name: "alice".into(),
        source: Source::Token { issuer: "idp".into(), fingerprint: "abcdefghijkl".into() },
        rights: Some(Rights { metrics: true, ..Rights::default() }),
        ticket: None,
        ..ticket()
    }
}

#[test]
fn what_was_sealed_is_read_back() {
    for (pass, made_for) in [(ticket(), Use::Ticket), (session(), Use::Session)] {
        let text = pass.seal(&seal("a"), made_for);
        assert_eq!(Pass::open(&text, &seal("a"), made_for), Some(pass));
    }
}

#[test]
fn a_ticket_stands_in_a_url_as_it_is() {
    let text = ticket().seal(&seal("a"), Use::Ticket);
    assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{text}");
    assert!(text.len() < 200, "{} bytes", text.len());
}

#[test]
fn of_another_secret_or_use_or_shape_is_none() {
    let text = ticket().seal(&seal("a"), Use::Ticket);
    assert_eq!(Pass::open(&text, &seal("b"), Use::Ticket), None);
    assert_eq!(Pass::open(&text, &seal("a"), Use::Session), None);
    let session = session().seal(&seal("a"), Use::Session);
    assert_eq!(Pass::open(&session, &seal("a"), Use::Ticket), None);
    let (payload, mac) = text.split_once('.').unwrap();
    for bad in [
        "",
        ".",
        payload,
        mac,
        &format!("{payload}."),
        &format!(".{mac}"),
        &format!("{text}.{mac}"),
        &format!("{text}="),
    ] {
        assert_eq!(Pass::open(bad, &seal("a"), Use::Ticket), None, "{bad}");
    }
    assert_eq!(Pass::open(&"a".repeat(LONGEST + 1), &seal("a"), Use::Ticket), None);
}

proptest! {
    #[test]
    fn no_damage_is_taken_for_a_ticket(at in any::<prop::sample::Index>(), with in any::<char>(), cut in 1usize..300) {
        let text = ticket().seal(&seal("a"), Use::Ticket);
        prop_assert_eq!(Pass::open(&text[..text.len().saturating_sub(cut)], &seal("a"), Use::Ticket), None);
        let at = at.index(text.len());
        let damaged = format!("{}{with}{}", &text[..at], &text[at + 1..]);
        if damaged != text {
            prop_assert_eq!(Pass::open(&damaged, &seal("a"), Use::Ticket), None);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in ".*", dotted in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,50}") {
        prop_assert_eq!(Pass::open(&text, &seal("a"), Use::Session), None);
        prop_assert_eq!(Pass::open(&dotted, &seal("a"), Use::Session), None);
    }

    #[test]
    fn a_payload_that_was_sealed_and_says_nonsense_is_none(payload in ".*") {
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let mac = URL_SAFE_NO_PAD.encode(seal("a").of(&signed(Use::Ticket, &payload)));
        prop_assert_eq!(Pass::open(&format!("{payload}.{mac}"), &seal("a"), Use::Ticket), None);
    }
}
