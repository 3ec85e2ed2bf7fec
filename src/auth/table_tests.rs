#![allow(clippy::unwrap_used)]

use super::super::file;
use super::*;

const NOW: Timestamp = 1_800_000_000_000;
const HOUR: Timestamp = 3_600_000;

fn table_of(text: &str) -> Table {
    Table::new(file::parse(text).unwrap(), Vec::new(), b"of this process", Digest::of(text)).unwrap()
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

fn ask(table: &Table, credential: &Credential, arrival: Arrival, now: Timestamp) -> Result<Grant, Refused> {
    match table.answer(credential, arrival, now) {
        Answer::Granted(grant) => Ok(grant),
        Answer::Refused(refused) => Err(refused),
        Answer::Fetch(remotes) => panic!("{remotes:?}"),
        Answer::Try { name, secret, password } => match password.is(secret) {
            true => table.tried(name, secret, now),
            false => Err(Refused::Wrong),
        },
    }
}

fn bearer(text: &str) -> Credential {
    Credential::of_text(text)
}

fn ticket(text: String) -> Credential {
    Credential::Ticket(Secret::new(text))
}

#[test]
fn an_unknown_key_and_a_wrong_one_are_refused_alike() {
    let table = table_of(&(web() + &key("old", "o", "expires = 2020-01-01T00:00:00Z")));
    let ask =
        |text: &str| ask(&table, &bearer(text), Arrival::First, NOW).map(|grant| grant.identity.name().to_owned());
    assert_eq!(ask("w"), Ok("web".into()));
    assert_eq!(ask("web:w"), Ok("web".into()));
    for wrong in ["x", "", "web:x", "nobody:w", "old:w", "a.b.c"] {
        assert_eq!(ask(wrong), Err(Refused::Wrong), "{wrong}");
    }
    assert_eq!(ask("o"), Err(Refused::Expired));
}

#[test]
fn a_password_is_tried_and_then_remembered() {
    let line = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$";
    let made = argon2::Argon2::new(
        argon2::Algorithm::Argon2id,
        argon2::Version::V0x13,
        argon2::Params::new(64, 1, 1, None).unwrap(),
    );
    let hash: argon2::password_hash::phc::PasswordHash =
        argon2::PasswordHasher::hash_password_with_salt(&made, b"horse", b"somesaltsomesalt").unwrap();
    assert!(hash.to_string().starts_with(line));
    let table = table_of(&format!("{}[[key]]\nname = \"ann\"\nargon2 = \"{hash}\"\n", web()));
    let is_tried = |text: &str| matches!(table.answer(&bearer(text), Arrival::First, NOW), Answer::Try { .. });
    let refused = |text: &str| ask(&table, &bearer(text), Arrival::First, NOW).err();
    assert!(is_tried("ann:horse") && is_tried("ann:hors") && is_tried("nobody:horse"), "all take as long");
    assert_eq!(refused("ann:hors"), Some(Refused::Wrong));
    assert_eq!(refused("nobody:horse"), Some(Refused::Wrong), "whoever's password it is");
    assert_eq!(refused("web:horse"), Some(Refused::Wrong));
    assert_eq!(refused("horse"), Some(Refused::Wrong), "a password needs its name");
    assert_eq!(refused("ann:horse"), None);
    assert!(!is_tried("ann:horse") && is_tried("ann:hors"));
}

#[test]
fn a_session_lasts_as_long_as_the_file_says_and_its_key() {
    let rest = "consume = [\"*\"]\nexpires = 2027-01-15T09:00:00Z";
    let file = format!("session = \"2h\"\n{}{}", web(), key("short", "s", rest));
    let table = table_of(&file);
    let session = |text: &str| {
        let grant = ask(&table, &bearer(text), Arrival::First, NOW).unwrap();
        let (text, ends) = table.session(&grant, NOW).unwrap();
        (Credential::Session(Secret::new(text)), ends - NOW)
    };
    let (web, ends) = session("w");
    assert_eq!(ends, 2 * HOUR);
    let at = |table: &Table, later| ask(table, &web, Arrival::First, NOW + later).map(|grant| grant.rights);
    assert!(at(&table, 0).unwrap().allow(Right::Consume, &topic("a")));
    assert!(at(&table, 2 * HOUR - 1).is_ok());
    assert_eq!(at(&table, 2 * HOUR), Err(Refused::Expired));
    assert_eq!(session("s").1, HOUR, "1_800_000_000_000 is 08:00");
    let narrower = table_of(&key("web", "w", "consume = [\"b\"]"));
    assert!(!at(&narrower, 0).unwrap().allow(Right::Consume, &topic("a")), "the rights are those of now");
    for other in [key("web", "x", "consume = [\"*\"]"), key("other", "w", "consume = [\"*\"]"), String::new()] {
        assert_eq!(at(&table_of(&other), 0), Err(Refused::Expired), "{other}");
    }
}

#[test]
fn a_ticket_is_used_soon_and_then_as_long_as_the_session_lasts() {
    let table = table_of(&web());
    let grant = ask(&table, &bearer("w"), Arrival::First, NOW).unwrap();
    let (text, ends) = table.ticket(&grant, vec![topic("a")], NOW).unwrap();
    assert_eq!(ends - NOW, 12 * HOUR);
    let at = |arrival, later| ask(&table, &ticket(text.clone()), arrival, NOW + later);
    let opened = at(Arrival::First, 60_000).unwrap();
    assert!(opened.may(Right::Consume, &topic("a")).is_ok());
    assert!(opened.may(Right::Consume, &topic("b")).is_err(), "only its topics");
    assert!(opened.may(Right::Produce, &topic("a")).is_err());
    assert_eq!(at(Arrival::First, 61_000).err(), Some(Refused::Expired));
    assert!(at(Arrival::Again, 12 * HOUR - 1).is_ok());
    assert_eq!(at(Arrival::Again, 12 * HOUR).err(), Some(Refused::Expired));
    let session = Credential::Session(Secret::new(text.clone()));
    assert_eq!(ask(&table, &session, Arrival::Again, NOW).err(), Some(Refused::Wrong), "a ticket is no session");
}

#[test]
fn a_ticket_of_a_ticket_and_of_a_session_ends_with_what_it_comes_from() {
    let table = table_of(&web());
    let grant = ask(&table, &bearer("w"), Arrival::First, NOW).unwrap();
    let (session, ends) = table.session(&grant, NOW).unwrap();
    let later = NOW + HOUR;
    let session = ask(&table, &Credential::Session(Secret::new(session)), Arrival::First, later).unwrap();
    let (text, ticket_ends) = table.ticket(&session, vec![topic("a")], later).unwrap();
    assert_eq!(ticket_ends, ends);
    assert!(ask(&table, &ticket(text), Arrival::Again, ends - 1).is_ok());
}

#[test]
fn tickets_hold_over_a_restart_where_the_file_has_their_secret() {
    let secret = "ticket_secret = \"0123456789abcdef0123456789abcdef\"\n";
    for (file, holds) in [(web(), false), (format!("{secret}{}", web()), true)] {
        let start =
            |own: &str| Table::new(file::parse(&file).unwrap(), Vec::new(), own.as_bytes(), Digest::of(&file)).unwrap();
        let grant = ask(&start("one"), &bearer("w"), Arrival::First, NOW).unwrap();
        let (text, _) = start("one").ticket(&grant, vec![topic("a")], NOW).unwrap();
        assert_eq!(ask(&start("two"), &ticket(text), Arrival::Again, NOW).is_ok(), holds);
    }
}

#[test]
fn a_certificate_is_let_in_by_its_name_where_the_file_says_so_and_nothing_else_by_that_name() {
    let with = "[[key]]\nname = \"boiler\"\ncertificate = true\nproduce = [\"a\"]\n".to_owned() + &web();
    let table = table_of(&with);
    let ends = NOW + HOUR;
    let at =
        |name: &str, now| ask(&table, &Credential::Certificate { name: name.to_owned(), ends }, Arrival::First, now);
    let shown = |name: &str| at(name, NOW);
    let grant = shown("boiler").unwrap();
    assert!(grant.may(Right::Produce, &topic("a")).is_ok() && grant.may(Right::Produce, &topic("b")).is_err());
    for unknown in ["web", "Boiler", ""] {
        assert_eq!(shown(unknown), Err(Refused::Wrong), "{unknown}");
    }
    for typed in ["boiler:", "boiler:certificate", "certificate", "boiler"] {
        assert_eq!(ask(&table, &bearer(typed), Arrival::First, NOW), Err(Refused::Wrong), "{typed}");
    }
    assert_eq!(table_of(&web()).until(&grant.held, NOW), Err(Ended::Revoked));
    // A connection may outlive its certificate; what it is asked for and what it gave out do not.
    assert_eq!(table.until(&grant.held, NOW), Ok(Some(ends)));
    assert_eq!(table.ticket(&grant, vec![topic("a")], NOW).unwrap().1, ends);
    assert_eq!(table.until(&grant.held, ends), Err(Ended::Expired));
    assert_eq!((at("boiler", ends - 1).is_ok(), at("boiler", ends).err()), (true, Some(Refused::Expired)));
}
