#![allow(clippy::unwrap_used)]

use super::super::file;
use super::*;

const NOW: Timestamp = 1_800_000_000_000;
const HOUR: Timestamp = 3_600_000;

fn table_of(text: &str) -> AuthTable {
    AuthTable::new(file::parse(text).unwrap(), Vec::new(), b"of this process", Digest::of(text)).unwrap()
}

fn key(name: &str, secret: &str, rest: &str) -> String {
    format!("[[key]]\nname = \"{name}\"\nsha256 = \"{}\"\n{rest}\n", Digest::of(secret).hex())
}

fn web() -> String {
    key("web", "w", "consume = [\"a\", \"b\"]")
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn look_up(
    table: &AuthTable,
    credential: &Credential,
    ticket_use: TicketUse,
    now: Timestamp,
) -> Result<Grant, AuthError> {
    match table.look_up(credential, ticket_use, now) {
        Decision::Granted(grant) => Ok(grant),
        Decision::Rejected(rejected) => Err(rejected),
        Decision::FetchKeys(remotes) => panic!("{remotes:?}"),
        Decision::CheckPassword { name, secret, password } => match password.verify(secret) {
            true => table.accept_password(name, secret, now),
            false => Err(AuthError::Unknown),
        },
    }
}

fn bearer(text: &str) -> Credential {
    Credential::from_text(text)
}

fn ticket(text: String) -> Credential {
    Credential::Ticket(Secret::new(text))
}

#[test]
fn an_unknown_key_and_a_wrong_one_get_the_same_response() {
    let table = table_of(&(web() + &key("old", "o", "expires = 2020-01-01T00:00:00Z")));
    let look_up = |text: &str| {
        look_up(&table, &bearer(text), TicketUse::First, NOW).map(|grant| grant.identity.name().to_owned())
    };
    assert_eq!(look_up("w"), Ok("web".into()));
    assert_eq!(look_up("web:w"), Ok("web".into()));
    for wrong in ["x", "", "web:x", "nobody:w", "old:w", "a.b.c"] {
        assert_eq!(look_up(wrong), Err(AuthError::Unknown), "{wrong}");
    }
    assert_eq!(look_up("o"), Err(AuthError::Expired));
}

#[test]
fn a_verified_password_is_not_checked_again() {
    let line = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$";
    let hasher = argon2::Argon2::new(
        argon2::Algorithm::Argon2id,
        argon2::Version::V0x13,
        argon2::Params::new(64, 1, 1, None).unwrap(),
    );
    let hash: argon2::password_hash::phc::PasswordHash =
        argon2::PasswordHasher::hash_password_with_salt(&hasher, b"horse", b"somesaltsomesalt").unwrap();
    assert!(hash.to_string().starts_with(line));
    let table = table_of(&format!("{}[[key]]\nname = \"ann\"\nargon2 = \"{hash}\"\n", web()));
    let is_tried =
        |text: &str| matches!(table.look_up(&bearer(text), TicketUse::First, NOW), Decision::CheckPassword { .. });
    let rejected = |text: &str| look_up(&table, &bearer(text), TicketUse::First, NOW).err();
    assert!(is_tried("ann:horse") && is_tried("ann:hors") && is_tried("nobody:horse"), "all take the same time");
    assert_eq!(rejected("ann:hors"), Some(AuthError::Unknown));
    assert_eq!(rejected("nobody:horse"), Some(AuthError::Unknown), "although it is ann's password");
    assert_eq!(rejected("web:horse"), Some(AuthError::Unknown));
    assert_eq!(rejected("horse"), Some(AuthError::Unknown), "a password needs its name");
    assert_eq!(rejected("ann:horse"), None);
    assert!(!is_tried("ann:horse") && is_tried("ann:hors"));
}

#[test]
fn a_session_expires_as_configured_or_with_its_key() {
    let rest = "consume = [\"*\"]\nexpires = 2027-01-15T09:00:00Z";
    let file = format!("session = \"2h\"\n{}{}", web(), key("short", "s", rest));
    let table = table_of(&file);
    let session = |text: &str| {
        let grant = look_up(&table, &bearer(text), TicketUse::First, NOW).unwrap();
        let (text, expires) = table.session(&grant, NOW).unwrap();
        (Credential::Session(Secret::new(text)), expires - NOW)
    };
    let (web, expires) = session("w");
    assert_eq!(expires, 2 * HOUR);
    let at = |table: &AuthTable, later| look_up(table, &web, TicketUse::First, NOW + later).map(|grant| grant.rights);
    assert!(at(&table, 0).unwrap().allow(Right::Consume, &topic("a")));
    assert!(at(&table, 2 * HOUR - 1).is_ok());
    assert_eq!(at(&table, 2 * HOUR), Err(AuthError::Expired));
    assert_eq!(session("s").1, HOUR, "1_800_000_000_000 is 08:00");
    let narrower = table_of(&key("web", "w", "consume = [\"b\"]"));
    assert!(!at(&narrower, 0).unwrap().allow(Right::Consume, &topic("a")), "the current rights apply");
    for other in [key("web", "x", "consume = [\"*\"]"), key("other", "w", "consume = [\"*\"]"), String::new()] {
        assert_eq!(at(&table_of(&other), 0), Err(AuthError::Expired), "{other}");
    }
}

#[test]
fn a_ticket_has_a_deadline_for_its_first_use_and_expires_like_a_session() {
    let table = table_of(&web());
    let grant = look_up(&table, &bearer("w"), TicketUse::First, NOW).unwrap();
    let (text, expires) = table.ticket(&grant, vec![topic("a")], NOW).unwrap();
    assert_eq!(expires - NOW, 12 * HOUR);
    let at = |ticket_use, later| look_up(&table, &ticket(text.clone()), ticket_use, NOW + later);
    let opened = at(TicketUse::First, 60_000).unwrap();
    assert!(opened.may(Right::Consume, &topic("a")).is_ok());
    assert!(opened.may(Right::Consume, &topic("b")).is_err(), "only its topics");
    assert!(opened.may(Right::Produce, &topic("a")).is_err());
    assert_eq!(at(TicketUse::First, 61_000).err(), Some(AuthError::Expired));
    assert!(at(TicketUse::Resume, 12 * HOUR - 1).is_ok());
    assert_eq!(at(TicketUse::Resume, 12 * HOUR).err(), Some(AuthError::Expired));
    let session = Credential::Session(Secret::new(text.clone()));
    assert_eq!(
        look_up(&table, &session, TicketUse::Resume, NOW).err(),
        Some(AuthError::Unknown),
        "a ticket is not a session"
    );
}

#[test]
fn a_ticket_expires_with_the_session_that_requested_it() {
    let table = table_of(&web());
    let grant = look_up(&table, &bearer("w"), TicketUse::First, NOW).unwrap();
    let (session, expires) = table.session(&grant, NOW).unwrap();
    let later = NOW + HOUR;
    let session = look_up(&table, &Credential::Session(Secret::new(session)), TicketUse::First, later).unwrap();
    let (text, ticket_ends) = table.ticket(&session, vec![topic("a")], later).unwrap();
    assert_eq!(ticket_ends, expires);
    assert!(look_up(&table, &ticket(text), TicketUse::Resume, expires - 1).is_ok());
}

#[test]
fn tickets_survive_a_restart_if_the_file_has_a_ticket_secret() {
    let secret = "ticket_secret = \"0123456789abcdef0123456789abcdef\"\n";
    for (file, holds) in [(web(), false), (format!("{secret}{}", web()), true)] {
        let start = |own: &str| {
            AuthTable::new(file::parse(&file).unwrap(), Vec::new(), own.as_bytes(), Digest::of(&file)).unwrap()
        };
        let grant = look_up(&start("one"), &bearer("w"), TicketUse::First, NOW).unwrap();
        let (text, _) = start("one").ticket(&grant, vec![topic("a")], NOW).unwrap();
        assert_eq!(look_up(&start("two"), &ticket(text), TicketUse::Resume, NOW).is_ok(), holds);
    }
}

#[test]
fn a_certificate_is_the_only_credential_for_a_key_with_certificate_true() {
    let with = "[[key]]\nname = \"boiler\"\ncertificate = true\nproduce = [\"a\"]\n".to_owned() + &web();
    let table = table_of(&with);
    let expires = NOW + HOUR;
    let at = |name: &str, now| {
        look_up(&table, &Credential::Certificate { name: name.to_owned(), expires }, TicketUse::First, now)
    };
    let present = |name: &str| at(name, NOW);
    let grant = present("boiler").unwrap();
    assert!(grant.may(Right::Produce, &topic("a")).is_ok() && grant.may(Right::Produce, &topic("b")).is_err());
    for unknown in ["web", "Boiler", ""] {
        assert_eq!(present(unknown), Err(AuthError::Unknown), "{unknown}");
    }
    for typed in ["boiler:", "boiler:certificate", "certificate", "boiler"] {
        assert_eq!(look_up(&table, &bearer(typed), TicketUse::First, NOW), Err(AuthError::Unknown), "{typed}");
    }
    assert_eq!(table_of(&web()).expiry(&grant.origin, NOW), Err(GrantEnd::Revoked));
    // A connection can outlive its certificate; requests on it and tickets from it cannot.
    assert_eq!(table.expiry(&grant.origin, NOW), Ok(Some(expires)));
    assert_eq!(table.ticket(&grant, vec![topic("a")], NOW).unwrap().1, expires);
    assert_eq!(table.expiry(&grant.origin, expires), Err(GrantEnd::Expired));
    assert_eq!((at("boiler", expires - 1).is_ok(), at("boiler", expires).err()), (true, Some(AuthError::Expired)));
}
