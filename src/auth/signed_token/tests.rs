#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn key(secret: &str) -> MacKey {
    MacKey::new(secret.as_bytes()).unwrap()
}

fn ticket() -> SignedToken {
    let topics = ["readings", "alarms.north"].map(|name| TopicName::new(name).unwrap()).to_vec();
    SignedToken {
        name: "web".into(),
        source: GrantSource::Key { name: "web".into(), fingerprint: "abcdefghijkl".into() },
        expires: 1_800_000_000_000,
        rights: None,
        ticket: Some(Ticket { topics, open_by: 1_799_999_999_000 }),
    }
}

fn session() -> SignedToken {
    SignedToken {
        name: "alice".into(),
        source: GrantSource::Token { issuer: "idp".into(), fingerprint: "abcdefghijkl".into() },
        rights: Some(Rights { metrics: true, ..Rights::default() }),
        ticket: None,
        ..ticket()
    }
}

#[test]
fn a_signed_token_is_decoded_unchanged() {
    for (token, token_use) in [(ticket(), TokenUse::Ticket), (session(), TokenUse::Session)] {
        let text = token.sign(&key("a"), token_use);
        assert_eq!(SignedToken::verify(&text, &key("a"), token_use), Some(token));
    }
}

#[test]
fn a_ticket_needs_no_escaping_in_a_url() {
    let text = ticket().sign(&key("a"), TokenUse::Ticket);
    assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{text}");
    assert!(text.len() < 200, "{} bytes", text.len());
}

#[test]
fn a_token_with_another_secret_use_or_format_is_rejected() {
    let text = ticket().sign(&key("a"), TokenUse::Ticket);
    assert_eq!(SignedToken::verify(&text, &key("b"), TokenUse::Ticket), None);
    assert_eq!(SignedToken::verify(&text, &key("a"), TokenUse::Session), None);
    let session = session().sign(&key("a"), TokenUse::Session);
    assert_eq!(SignedToken::verify(&session, &key("a"), TokenUse::Ticket), None);
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
        assert_eq!(SignedToken::verify(bad, &key("a"), TokenUse::Ticket), None, "{bad}");
    }
    assert_eq!(SignedToken::verify(&"a".repeat(MAX_LEN + 1), &key("a"), TokenUse::Ticket), None);
}

proptest! {
    #[test]
    fn a_damaged_ticket_is_rejected(at in any::<prop::sample::Index>(), with in any::<char>(), cut in 1usize..300) {
        let text = ticket().sign(&key("a"), TokenUse::Ticket);
        prop_assert_eq!(SignedToken::verify(&text[..text.len().saturating_sub(cut)], &key("a"), TokenUse::Ticket), None);
        let at = at.index(text.len());
        let damaged = format!("{}{with}{}", &text[..at], &text[at + 1..]);
        if damaged != text {
            prop_assert_eq!(SignedToken::verify(&damaged, &key("a"), TokenUse::Ticket), None);
        }
    }

    #[test]
    fn no_text_causes_a_panic(text in ".*", dotted in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,50}") {
        prop_assert_eq!(SignedToken::verify(&text, &key("a"), TokenUse::Session), None);
        prop_assert_eq!(SignedToken::verify(&dotted, &key("a"), TokenUse::Session), None);
    }

    #[test]
    fn a_signed_payload_that_is_malformed_is_rejected(payload in ".*") {
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let mac = URL_SAFE_NO_PAD.encode(key("a").sign(&signing_input(TokenUse::Ticket, &payload)));
        prop_assert_eq!(SignedToken::verify(&format!("{payload}.{mac}"), &key("a"), TokenUse::Ticket), None);
    }
}
